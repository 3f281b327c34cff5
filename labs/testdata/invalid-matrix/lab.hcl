lab "matrix" {}
app "a" {}
app "b" {
  port "http" { port = 80 }
}
app "c" {
  port "http" { port = 80 }
}
task "t" {
  objective "o" {
    points = 1
    matrix {
      from  = [app.a, app.b]
      to    = [app.b.port.http]
      allow = [[app.c, app.b.port.http], [app.a, app.c.port.http], [app.a], app.a, { from = app.a }, [app.a, app.b.port.http], { from = app.a, to = app.b }]
      otherwise = "allowed"
    }
    matrix {
      from  = app.a
      to    = app.b
      allow = app.a
    }
    matrix {
      to    = app.b
      allow = [["a", "b"]]
      port  = "https"
    }
    invariant "both" {
      to   = app.b
      from = app.a
    }
    invariant "neither" {}
    invariant "wrong" {
      to                = "b"
      except_namespaces = ["defualt", app.a]
      except_apps       = [namespace.x, app.b.port.http]
      except_ports      = [0, "http", app.b.port.http, 1.5]
      protocols         = ["tcp", "ICMP"]
    }
    object "syntax" { condition = "objects.all(o, o.x" }
    object "type" { condition = "size(objects)" }
    object "unknown" {
      kind      = "NetworkPolice"
      namespace = "nowhere"
      condition = "object.size() > 0"
    }
  }
}
