lab "variables" {
  title     = "${var.title} (${var.anything})"
  pass_mark = var.pass_mark
}

variable "title" {
  type        = string
  description = "The title of the lab"
  default     = "unset"
}

variable "pass_mark" {
  type = number
  validation {
    condition     = var.pass_mark > 10
    error_message = "it must be above 10."
  }
}

variable "settings" {
  type = object({
    replicas = optional(number, 2)
    names    = list(string)
  })
}

variable "anything" {
  default = null
}

variable "project" {
  type    = string
  default = null
}

cluster "gke" {
  project = var.project
}

app "web" {
  for_each = var.settings.names
  replicas = var.settings.replicas
}

app "server" {
  port "http" { port = 80 }
}

task "only" {
  objective "only" {
    points = 1
    expect "allowed" {
      from = app.web
      to   = app.server
    }
  }
}
