lab "cycles" {}
locals {
  a = local.b
  b = [local.c]
  c = "${local.a[0]}"
  self = local.self
}
app "one" {
  labels = { app = app.two.name }
}
app "two" {
  labels = { app = app.one.name }
}
app "backend" {
  port "http" { port = 80 }
}
task "a" {
  depends_on = ["b"]
  objective "x" {
    points     = 1
    depends_on = ["y"]
    expect "allowed" {
      from = app.one
      to   = app.backend
    }
  }
  objective "y" {
    points     = 1
    depends_on = ["z"]
    expect "allowed" {
      from = app.two
      to   = app.backend
    }
  }
  objective "z" {
    points     = 1
    depends_on = ["x"]
    expect "allowed" {
      from = app.backend
      to   = app.backend
    }
  }
  objective "alone" {
    points     = 1
    depends_on = ["alone", "x", "x"]
    expect "allowed" {
      from = app.backend
      to   = app.backend
    }
  }
}
task "b" {
  depends_on = ["a"]
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.backend
      to   = app.backend
    }
  }
}
task "early" {
  depends_on = ["late"]
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.backend
      to   = app.backend
    }
  }
}
task "late" {
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.backend
      to   = app.backend
    }
  }
}
