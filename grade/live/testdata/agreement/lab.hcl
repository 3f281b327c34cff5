# Nine pods in three namespaces: what the live and the offline engine are held against each other on.

lab "agreement" {
  title = "Agreement of the engines"
}

cluster "kind" {
  workers = 1
}

namespace "red" {
  labels = { team = "red", zone = "inner" }
}
namespace "green" {
  labels = { team = "green", zone = "inner" }
}
namespace "blue" {
  labels = { team = "blue", zone = "outer" }
}

app "red-web" {
  namespace = namespace.red.name
  labels    = { app = "web", tier = "front" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "red-api" {
  namespace = namespace.red.name
  labels    = { app = "api", tier = "back" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "red-db" {
  namespace = namespace.red.name
  labels    = { app = "db", tier = "back" }
  port "http" { port = 9090 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "green-web" {
  namespace = namespace.green.name
  labels    = { app = "web", tier = "front" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "green-api" {
  namespace = namespace.green.name
  labels    = { app = "api", tier = "back" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "green-db" {
  namespace = namespace.green.name
  labels    = { app = "db", tier = "back" }
  port "http" { port = 9090 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "blue-web" {
  namespace = namespace.blue.name
  labels    = { app = "web", tier = "front" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "blue-api" {
  namespace = namespace.blue.name
  labels    = { app = "api", tier = "back" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}
app "blue-db" {
  namespace = namespace.blue.name
  labels    = { app = "db", tier = "back" }
  port "http" { port = 9090 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}

external "internet" {
  host      = "kubernetes.io"
  port      = 443
}

submission {
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]
  may_label = ["red", "green", "blue", "kube-system"]
  layout    = "flat"
}

task "any" {
  title = "Whatever is in force"
  objective "any" {
    points = 1
    expect "allowed" {
      from = app.red-web
      to   = app.red-api.port.http
    }
  }
}
