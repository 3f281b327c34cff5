lab "Not A Name" {}
namespace "UPPER" {}
app "back_end" {
  service = "-"
  port "HTTP" { port = 80 }
}
external "in.ternet" { host = "a.b" }
task "t 1" {
  hint "" { text = "x" }
  objective "a/b" {
    points = 1
    invariant "" { to = app.back_end }
  }
}
sample "a b" {
  path  = "lab.hcl"
  score = 0
}
