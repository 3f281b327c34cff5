lab "files" {}

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

locals {
  up       = file("../lab.hcl")
  abs      = file("/etc/passwd")
  missing  = file("missing.md")
  dir      = file("sub")
  link     = file("link.md")
  outside  = file("out/lab.hcl")
  binary   = file("binary")
  template = templatefile("sub/loop.tmpl", {})
  unset    = templatefile("sub/name.tmpl", { other = 1 })
  broken   = templatefile("sub/broken.tmpl", {})
  set      = fileset("..", "*")
  pattern  = fileset(".", "[")
  backward = file("sub\\loop.tmpl")
  exists   = fileexists("../x")
}
task "more" {
  instructions = file("tasks/none.md")
  setup {
    apply  = ["../x.yaml", "none.yaml", "broken.yaml"]
    delete = ["empty.yaml"]
    label "nowhere" {
      labels = { a = "b" }
    }
  }
  objective "o" {
    points = 1
    invariant "i" { to = app.backend }
  }
}
app "manifest" {
  manifests = ["broken.yaml"]
}
app "two" {
  manifests = ["workloads.yaml"]
}
app "one" {
  manifests = ["workloads.yaml"]
  labels    = { a = "b" }
  service   = "none"
  port "x" { port = 80 }
}
starter { path = "." }
sample "outside" {
  path  = "../elsewhere"
  score = 0
}
sample "absolute" {
  path  = "/etc"
  score = 0
}
sample "missing" {
  path  = "samples/missing"
  score = 0
}
sample "link" {
  path  = "out"
  score = 0
}
