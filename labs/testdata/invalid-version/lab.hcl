lab "version" {
  required_version = ">= 9.0"
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

