# A client and a server that speaks every protocol that can be probed.

lab "protocols" {
  title = "Protocols"
}

cluster "kind" {
  workers = 1
}

namespace "protocols" {}

app "server" {
  namespace = namespace.protocols.name
  labels    = { app = "server" }
  port "http" { port = 8080 }
  port "udp" {
    port     = 8081
    protocol = "UDP"
  }
}

app "client" {
  namespace = namespace.protocols.name
  labels    = { app = "client" }
}

submission {
  kinds  = ["NetworkPolicy", "CiliumNetworkPolicy"]
  layout = "flat"
}

task "any" {
  title = "Whatever is in force"
  objective "any" {
    points = 1
    expect "allowed" {
      from = app.client
      to   = app.server.port.http
    }
  }
}
