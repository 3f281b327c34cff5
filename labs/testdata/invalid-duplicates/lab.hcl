lab "duplicates" {}
locals { a = 1 }
locals { a = 2 }
variable "v" { default = 1 }
variable "v" { default = 2 }
namespace "n" {}
namespace "n" {}
namespace "other" { name = "n" }
app "x" {
  port "p" { port = 80 }
  port "p" { port = 81 }
  port "q" { port = 80 }
}
app "x" {}
app "y" { name = "x" }
app "s" {
  service = "x"
  port "p" { port = 80 }
}
external "e" { host = "a.b" }
external "e" { host = "a.b" }
external "f" {
  name = "e"
  host = "a.b"
}
cluster "kind" {}
cluster "kind" {}
task "t" {
  hint "h" { text = "1" }
  hint "h" { text = "2" }
  objective "o" {
    points = 1
    invariant "i" { to = app.x }
    invariant "i" { to = app.x }
    object "c" { condition = "true" }
    object "c" { condition = "true" }
  }
  objective "o" {
    points = 1
    invariant "i" { to = app.x }
  }
}
task "t" {
  objective "o" {
    points = 1
    invariant "i" { to = app.x }
  }
}
sample "s" {
  path  = "lab.hcl"
  score = 0
}
sample "s" {
  path  = "lab.hcl"
  score = 0
}
