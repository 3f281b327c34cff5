lab "references" {
  title = titel.x
}

locals {
  a = local.b
  c = var.nope
  d = app.frontend.nam
}

namespace "monitoring" {}
app "backend" {
  port "http" { port = 8080 }
  port "metrics" { port = 9090 }
}
app "frontend" {
  namespace = "montoring"
}
app "web" {
  for_each  = toset(["a", "b"])
  namespace = namespace.monitering.name
}
external "internet" { host = "kubernetes.io" }

task "t" {
  depends_on = ["tt", "u"]
  objective "o" {
    points     = 1
    depends_on = ["p", "u/first", "x/y"]
    expect "allowed" {
      from = app.fronted
      to   = app.backend.port.htp
    }
    expect "allowed" {
      from = "frontend"
      to   = app.backend
    }
    expect "allowed" {
      from = [app.frontend, namespace.monitoring]
      to   = [app.frontend, "backend", "1.2.3.4", 7, external.internet]
    }
    expect "allowed" {
      from = app.web["c"]
      to   = app.backend.prt
    }
    expect "allowed" {
      from = frontend
      to   = each.value
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend
      port = "htttp"
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend
      port = 81
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend.port.http
      port = app.backend.port.metrics
    }
    expect "allowed" {
      from     = app.frontend
      to       = app.backend.port.http
      protocol = "UDP"
    }
    expect "allowed" {
      from = []
      to   = []
    }
    expect "allowed" {
      from = app.frontend
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend
      dns  = "kubernetes"
    }
    expect "allowed" {
      from = app.frontend
      dns  = "not a name"
    }
    expect "allowed" {
      from = app.frontend
      to   = external.internet
      via  = "service"
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend
      icmp {}
      port = 80
      http {}
    }
  }
}
task "u" {
  objective "first" {
    points     = 1
    depends_on = ["o"]
    expect "allowed" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
}
sample "s" {
  path   = "samples"
  missed = ["first", "t/frist", "u/first", "u/first", "w/first", "u", "o"]
}
sample "unchecked" {
  path = "samples"
}
mistake "again" {
  when    = "object.size() > 1"
  message = ""
}
mistake "again" {
  kind    = "NetworkPolicies"
  when    = "objects.size()"
  message = "Two of them."
}
