lab "variables" {
  title = var.titel
}
variable "required" { type = string }
variable "typed" {
  type    = number
  default = "x"
}
variable "given" { type = list(number) }
variable "computed" { default = local.a }
variable "untyped" { type = strin }
variable "bad name" {}
variable "title" {
  default = "ok"
  kind    = "string"
}
variable "small" {
  type    = number
  default = 5
  validation {
    condition     = var.small > 10
    error_message = "The number is too small."
  }
  validation {
    condition = var.small
  }
}
variable "in-file" { type = number }
locals {
  a     = 1
  quiet = var.required # reported once, where it is declared
}

task "t" {
  objective "o" {
    points = 1
    expect "allowed" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
}
app "backend" {
  port "http" { port = 8080 }
}
app "frontend" {}

