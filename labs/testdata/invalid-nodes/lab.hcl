lab "nodes" {
  title = "Nodes that the cluster does not have"
}
cluster "kind" {
  control_planes = 3
  workers        = 2
}
cluster "existing" {}
app "web" {
  node = "worker9"
  port "http" { port = 80 }
}
app "client" {
  node = "control-plane3"
}
task "t" {
  objective "o" {
    points = 1
    expect "denied" {
      from = [app.client, node("work"), node("worker2")]
      to   = [node("control-plan"), node("control-plane2")]
      port = 22
    }
    matrix {
      from  = [node("worker")]
      to    = [app.web]
      allow = [[node("worker3"), app.web]]
    }
  }
}
