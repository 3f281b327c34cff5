# The smallest lab there can be: for tests that are not about grading.
lab "small" {
  title = "Nobody reaches the backend"
}

app "backend" {
  port "http" { port = 80 }
}
app "frontend" {}

submission {
  layout = "either"
}

task "deny" {
  objective "isolated" {
    points = 10
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
