lab "apps" {}
cluster "kind" {
  workers = 2
}

# What a kind of workload decides.
app "agent" {
  kind     = "DaemonSet"
  replicas = 2
  node     = "worker"
}
app "single" {
  kind     = "Pod"
  replicas = 1
}
app "job" { kind = "Job" }

# Services.
app "no-port" { service_type = "NodePort" }
app "cluster-ip" {
  port "http" {
    port      = 80
    node_port = 30080
  }
}
app "headless" {
  service_type = "Headless"
  port "http" {
    port        = 80
    target_port = 8080
  }
  port "node" {
    port      = 81
    node_port = 30081
  }
}
app "low" {
  service_type = "NodePort"
  port "http" {
    port      = 80
    node_port = 8080
  }
}
app "first" {
  service_type = "NodePort"
  port "http" {
    port      = 80
    node_port = 30082
  }
  port "again" {
    port      = 81
    node_port = 30082
  }
}
app "second" {
  service_type = "LoadBalancer"
  port "http" {
    port      = 80
    node_port = 30082
  }
}

# Ports of a node.
app "pinned" {
  host_network = true
  node         = "worker"
  replicas     = 2
  port "http" { port = 8080 }
}
app "beside" {
  host_network = true
  node         = "worker2"
  port "http" { port = 8081 }
}
app "beside-too" {
  host_network = true
  node         = "worker2"
  port "http" {
    port        = 80
    target_port = 8081
  }
}
app "everywhere" {
  kind         = "DaemonSet"
  host_network = true
  port "http" { port = 8082 }
}
app "somewhere" {
  host_network = true
  port "http" { port = 8082 }
}
app "three" {
  host_network = true
  replicas     = 3
  port "http" { port = 8083 }
}

# Health checks.
app "unhealthy" {
  port "http" { port = 80 }
  port "admin" { port = 81 }
  port "dns" {
    port     = 53
    protocol = "UDP"
  }
  readiness {}
  liveness {
    port = "htpp"
  }
}
app "wrong" {
  readiness {
    path     = "healthz"
    port     = 70000
    period   = "500ms"
    timeout  = "1.5s"
    failures = 0
  }
  liveness {
    command = []
    path    = "/"
    port    = 80
  }
}
app "portless" {
  readiness {}
  readiness { command = ["true"] }
  liveness { port = app.first.port.http }
}
app "udp" {
  port "dns" {
    port     = 53
    protocol = "UDP"
  }
  liveness { port = "dns" }
}
app "manifest" {
  manifests    = ["manifests/agent.yaml"]
  kind         = "DaemonSet"
  host_network = true
  service_type = "Headless"
  readiness { command = ["true"] }
}

app "plain" {
  service_type = "Headless"
  port "http" { port = 8080 }
}
app "host" {
  host_network = true
  port "http" { port = 9000 }
}

task "t" {
  objective "o" {
    points = 1
    expect "denied" {
      from = app.host
      to   = app.plain
      via  = "cluster_ip"
    }
    invariant "in" { to = [app.plain, app.host] }
    invariant "out" { from = app.host }
  }
}
