# An app whose image has no shell, let alone curl, beside one that has.

lab "methods" {
  title = "How probes are sent"
}

cluster "kind" {
  workers = 1
}

variable "bare" {
  default     = "registry.k8s.io/pause:3.10"
  description = "an image without a shell"
}

namespace "methods" {}

app "bare" {
  namespace = namespace.methods.name
  image     = var.bare
  labels    = { app = "bare" }
  port "http" { port = 8080 }
}

app "web" {
  namespace = namespace.methods.name
  labels    = { app = "web" }
  port "http" { port = 8080 }
}

app "closed" {
  namespace = namespace.methods.name
  labels    = { app = "closed" }
  port "http" { port = 8080 }
}

submission {
  kinds  = ["NetworkPolicy"]
  layout = "flat"
}

task "any" {
  title = "Whatever is in force"
  objective "any" {
    points = 1
    expect "allowed" {
      from = app.bare
      to   = app.web.port.http
    }
  }
}
