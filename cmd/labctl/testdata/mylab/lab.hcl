lab "mylab" {
  title     = "A lab"
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

submission {
  kinds  = ["NetworkPolicy"]
  layout = "flat"
}

task "close" {
  title        = "Close the backend"
  instructions = "Nobody may reach the backend."

  objective "isolated" {
    title  = "Nobody reaches the backend"
    points = 1
    expect "dropped" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
}

sample "solution" {
  path  = "samples/solution"
  score = 100
}
