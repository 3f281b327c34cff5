lab "ends" {}

cluster "kind" {
  workers = 2
}

app "operator" {}

app "api" {
  port "http" {
    port        = 80
    target_port = 8080
  }
}

external "partner" {
  hosts     = ["api.example.com", "*.cdn.example.com", "**.example.net"]
  addresses = ["198.51.100.7", "198.51.100.8"]
}

external "office" {
  cidr      = "203.0.113.0/24"
  addresses = ["203.0.113.7", "203.0.113.250"]
}

external "updates" {
  host = "*.updates.example.com"
}

task "entities" {
  objective "api-server" {
    points = 1
    expect "allowed" {
      from = app.operator
      to   = entity("kube-apiserver")
    }
    expect "allowed" {
      from = app.operator
      to   = entity("kube-apiserver")
      via  = "service"
    }
    expect "denied" {
      from = app.operator
      to   = entity("kube-apiserver")
      via  = "cluster_ip"
    }
    expect "denied" {
      from = app.operator
      to   = [entity("host"), entity("remote-node"), entity("kube-apiserver"), entity("world")]
      port = 10250
    }
  }
  objective "probes" {
    points = 1
    expect "allowed" {
      from = entity("host")
      to   = app.api
      via  = "ip"
    }
    matrix {
      from  = [app.operator, entity("host"), entity("remote-node"), entity("kube-apiserver"), entity("world")]
      to    = app.api
      via   = "ip"
      allow = [[entity("host"), app.api], [entity("world"), app.api]]
    }
  }
  objective "outside" {
    points = 1
    matrix {
      from  = app.operator
      to    = [entity("world"), entity("remote-node")]
      port  = 443
      allow = [[app.operator, entity("world")]]
    }
    expect "allowed" {
      from = app.operator
      to   = entity("remote-node")
      icmp {}
    }
  }
}
