lab "foreach" {}
app "number" { for_each = 3 }
app "numbers" { for_each = [1, 2] }
app "twice" { for_each = ["a", "a"] }
app "null" { for_each = null }
app "ref" { for_each = app.frontend }
app "many" { for_each = toset([for a in range(40) : a]) }
app "bad" { for_each = toset(["Not A Name"]) }
app "plain" {
  for_each = {}
  labels   = { a = each.key }
}
app "loop" { for_each = app.loop }
sample "s" {
  for_each = ["a"]
  path     = each.value.x
  score    = each.score
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

