lab "manifests" {}

app "db" { # a StatefulSet without a service
  manifests = ["manifests/db.yaml"]
}

app "agent" { # the one of two namespaces
  namespace = "ops"
  manifests = ["manifests/agents.yaml"]
}

app "proxy" { # the only workload, whatever its name; the second of its services
  manifests = ["manifests/sub"]
  service   = "proxy-admin"
}

app "batch" {
  manifests = ["manifests/job.yaml"]
}

task "t" {
  setup {}
  objective "o" {
    points = 1
    expect "denied" {
      from = [app.agent, app.batch]
      to   = [app.db.port.pg, app.db.port.port-9187, app.proxy.port["port-81"]]
      via  = "ip"
    }
  }
}
