colour = "blue"

lab "structure" {
  titel = "x"
  titles {}
}
lab "again" {}
labs "x" {}
cilium {
  hubble {}
  hubble {}
}
cilium {}
starter {}
app {}
app "a" "b" {}
app "backend" {
  port "http" { prot = 80 }
}
task "no-objective" {}
task "t" {
  objective "nothing" { points = 1 }
  objective "o" {
    expect "allowed" {
      too = app.backend
    }
  }
}
sample "s" {
  path = "nowhere"
}
externl "office" { cidr = "192.0.2.0/24" }
task "refers" {
  hint = "x"
  points {}
  objective "o" {
    points = 1
    title {}
    expect "denied" {
      from = external.office
      to   = app.backend
    }
    task "in-here" {}
  }
}
