lab "apps" {}
cluster "kind" {
  workers = 2
}
app "agent" {
  kind         = "DaemonSet"
  host_network = true
  port "metrics" { port = 9100 }
  readiness {}
}
app "pinned" {
  host_network = true
  node         = "worker"
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "pinned-too" {
  host_network = true
  node         = "worker2"
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "store" {
  kind         = "StatefulSet"
  replicas     = 2
  service_type = "Headless"
  port "sql" { port = 5432 }
  liveness {
    command       = ["/agnhost", "--help"]
    initial_delay = "1m"
    timeout       = "5s"
  }
}
app "single" { kind = "Pod" }
app "shop" {
  service_type = "LoadBalancer"
  port "http" {
    port        = 80
    target_port = 8080
    node_port   = 30080
  }
  port "dns" {
    port      = 53
    protocol  = "UDP"
    node_port = 30080
  }
  readiness {
    path     = "/hostname"
    period   = "5s"
    failures = 1
  }
  liveness { port = 8080 }
}
app "database" { manifests = ["manifests/database.yaml"] }
task "t" {
  objective "o" {
    points = 1
    expect "allowed" {
      from = app.single
      to   = [app.agent, app.store, app.shop.port.http, app.database]
    }
    expect "allowed" {
      from = [app.single, node("control-plane")]
      to   = node("worker2")
      port = 30080
    }
  }
}
