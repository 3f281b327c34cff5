lab "foreach" {}

locals {
  teams = { a = "alpha", b = "beta" }
}

namespace "team" {
  for_each = local.teams
  labels   = { team = each.value }
}

app "web" {
  for_each  = local.teams
  namespace = namespace.team[each.key].name
  labels    = { app = "web", team = each.key }
  port "http" { port = 80 }
}

app "client" {
  for_each = toset(["x", "y"])
  name     = "${each.key}-client"
}

external "site" {
  for_each = ["one", "two"]
  host     = "${each.value}.example.com"
}

task "isolate" {
  for_each = local.teams
  title    = "Isolate team ${each.value}"

  hint "h" {
    for_each = ["first", "second"]
    text     = "The ${each.key} hint"
  }
  objective "closed" {
    for_each   = { client-x = app.client["x"], client-y = app.client.y }
    points     = 1
    depends_on = each.key == "client-y" ? ["closed-client-x"] : []
    expect "denied" {
      from = each.value
      to   = app.web
    }
  }
  objective "open" {
    points = 1
    expect "allowed" {
      for_each = app.web
      from     = each.value
      to       = values(external.site)
      because  = "team ${each.key} may go out"
    }
  }
}

sample "wrong" {
  for_each = { one = 0, two = 50 }
  path     = "samples/${each.key}.yaml"
  score    = each.value
}
