# An app whose image has no shell, let alone curl, beside one that has.

lab "ladder" {
  title = "The prober's ladder"
}

cluster "kind" {
  workers = 1
}

variable "bare" {
  default     = "registry.k8s.io/pause:3.10"
  description = "an image without a shell"
}

namespace "ladder" {}

app "bare" {
  namespace = namespace.ladder.name
  image     = var.bare
  labels    = { app = "bare" }
  port "http" { port = 8080 }
}

app "web" {
  namespace = namespace.ladder.name
  labels    = { app = "web" }
  port "http" { port = 8080 }
}

app "closed" {
  namespace = namespace.ladder.name
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
