lab "values" {
  title            = ["no"]
  required_version = "> > 3"
  pass_mark        = 101
}
cilium {
  version = "newest"
  values  = "none"
}
app "backend" {
  replicas = 1.5
  labels   = { "bad key!" = "ok", ok = "bad value!" }
  env      = { "A=B" = "c" }
  node     = "Node_1"
  port "http" {
    port        = 70000
    target_port = 0
  }
  port "web" {
    port     = 80
    protocol = "tcp"
  }
  port "this-name-is-too-long" { port = 81 }
}
app "frontend" { replicas = "many" }
app "empty" { labels = {} }
external "nowhere" {}
external "both" {
  host = "example.com"
  cidr = "10.0.0.0/8"
}
external "wrong" {
  cidr      = "10.0.0.1/8"
  addresses = ["10.1.1.1", "elsewhere", "11.0.0.1"]
}
external "host" {
  host = "-x-"
}
submission {
  kinds     = ["NetworkPolicies", "NetworkPolicy", "NetworkPolicy"]
  may_label = ["kube-sytem", app.backend]
  layout    = "flatt"
}
late {
  grace   = "soon"
  penalty = 101
  per     = "1s"
  max     = "all"
  cutoff  = "-3h"
}
attempts {
  limit  = 2.5
  counts = "bests"
}
task "t" {
  visibility = "secret"
  hint "h" {
    text = " "
    cost = -1
  }
  objective "o" {
    points  = -5
    partial = "some"
    bonus   = "maybe"
    expect "droped" {
      from = app.frontend
      to   = "10.0.0.1"
      via  = "carrier-pigeon"
      port = 0
    }
    expect "probe_error" {
      from = app.frontend
      to   = "10.0.0.1"
      port = [1]
    }
    expect "dropped" {
      from = app.frontend
      to   = "10.0.0.1"
      port = 80
      http {
        method  = "FETCH"
        path    = "x y"
        headers = { "a b" = "c" }
        status  = 20
      }
    }
    expect "allowed" {
      from = app.frontend
      to   = "10.0.0.1"
      icmp {
        type = "ecko-request"
      }
      http {}
    }
  }
  objective "infinite" {
    points = 1 / 0
    expect "allowed" {
      from = app.frontend
      to   = "10.0.0.1"
      port = 1
    }
  }
  objective "huge" {
    points = 1e300
    expect "allowed" {
      from = app.frontend
      to   = "10.0.0.1"
      port = 1
    }
  }
  objective "nil" {
    points = null
    expect "allowed" {
      from = app.frontend
      to   = "10.0.0.1"
      port = 1
    }
  }
}
