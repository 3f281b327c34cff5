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
