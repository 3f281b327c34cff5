lab "ends" {}

cluster "kind" {
  workers = 0
}

app "client" {}

app "web" {
  port "http" { port = 80 }
}

external "both" {
  host  = "example.com"
  hosts = ["example.com"]
}

external "names" {
  hosts = ["a.example.com", "a.example.com", "www.*.example.com", "***.example.com", "*", ""]
}

external "web" {
  host = "example.org"
}

external "none" {
  hosts = []
}

locals {
  cluster = entity("cluster")
  typo    = entity("kube-api-server")
}

task "entities" {
  objective "wrong" {
    points = 1
    expect "allowed" {
      from = app.client
      to   = entity("host")
    }
    expect "allowed" {
      from = app.client
      to   = entity("remote-node")
      port = 10250
    }
    expect "allowed" {
      from = app.client
      to   = [entity("host"), entity("world")]
      via  = "service"
      port = 10250
    }
    expect "allowed" {
      from = app.client
      to   = entity("kube-apiserver")
      via  = "service"
      port = 6443
    }
    expect "allowed" {
      from = app.client
      to   = entity("kube-apiserver")
      port = "https"
    }
    expect "allowed" {
      from = app.client
      to   = entity("kube-apiserver")
      via  = "cluster_ip"
      icmp {}
    }
    expect "allowed" {
      from = entity("host")
      to   = app.web
    }
    expect "allowed" {
      from = entity("host")
      to   = external.web
    }
    expect "allowed" {
      from = node("control-plane")
      to   = entity("host")
      port = 10250
    }
    matrix {
      from  = app.client
      to    = entity("host")
      port  = 10250
      allow = [[app.client, entity("kube-apiserver")]]
    }
  }
}
