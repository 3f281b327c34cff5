# A small lab for the scripts in ../script: a backend that is closed and then opened for one client.
lab "shop" {
  title     = "A shop"
  pass_mark = 70
}

app "backend" {
  labels = { app = "backend" }
  port "http" {
    port = 8080
  }
}

app "frontend" {
  labels = { app = "frontend" }
}

app "other" {
  labels = { app = "other" }
}

external "internet" {
  host = "kubernetes.io"
  port = 443
}

submission {
  kinds     = ["NetworkPolicy"]
  may_label = ["kube-system"]
}

task "close" {
  title        = "Close the backend"
  instructions = "Nobody may reach the backend."

  hint "isolation" {
    text = "A policy without rules lets nobody in."
    cost = 1
  }

  objective "isolated" {
    title  = "Nobody reaches the backend"
    points = 6
    expect "dropped" {
      from = [app.frontend, app.other]
      to   = app.backend.port.http
    }
  }

  objective "egress" {
    title      = "The backend reaches the internet"
    points     = 2
    depends_on = ["isolated"]
    expect "allowed" {
      from = app.backend
      to   = external.internet
    }
  }
}

task "open" {
  title        = "Let the frontend in"
  instructions = "The frontend, and nobody else, reaches the backend."

  objective "frontend" {
    title  = "The frontend reaches the backend"
    points = 8
    expect "allowed" {
      from    = app.frontend
      to      = app.backend.port.http
      because = "the shop's pages come from the backend"
    }
    expect "dropped" {
      from = app.other
      to   = app.backend.port.http
    }
  }
}

sample "solution" {
  path  = "samples/solution"
  score = 100
}

sample "wrong" {
  path  = "samples/wrong"
  score = 50
}
