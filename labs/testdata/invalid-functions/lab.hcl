lab "functions" {}
locals {
  unknown  = fiel("x")
  many     = upper("a", "b")
  wide     = format("%10000d", 1)
  big      = replace(join("", [for i in range(1024) : "0123456789"]), "", join("", [for i in range(1024) : "0123456789"]))
  product  = setproduct(range(1000), range(1000), range(1000))
  long     = [for a in range(200) : [for b in range(200) : b]]
  env      = env("HOME")
  time     = timestamp()
  host     = cidrhost("10.0.0.0/8", -1)
  badhost  = cidrhost("10.0.0.0/33", 1)
  badnet   = cidrsubnet("10.0.0.0/8", 30, 1)
  badin    = cidrcontains("10.0.0.0/8", "x")
  badnode  = node("Not A Node!")
  number   = pow(10, 300) * pow(10, 300)
  yaml     = yamldecode("a: [")
  json     = jsondecode("{")
  regex    = regex("(", "x")
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

