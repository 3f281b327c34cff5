# The lab that the tests of package grade use: small, and with every kind of objective.
lab "shop" {
  title     = "A shop"
  pass_mark = 70
}

cluster "kind" {
  workers = 2
}

namespace "monitoring" {
  labels = { type = "monitoring" }
}
namespace "batch" {}

app "backend" {
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "frontend" {}
app "worker" {
  replicas = 2
}
app "scraper" {
  namespace = namespace.monitoring.name
}

external "internet" {
  host = "kubernetes.io"
}

submission {
  layout    = "either"
  kinds     = ["NetworkPolicy"]
  may_label = ["kube-system", "batch"]
}

task "deny" {
  title = "Nobody reaches the backend"
  hint "selector" {
    text = "Which pods does the policy select?"
    cost = 2
  }
  objective "isolated" {
    title  = "The backend is isolated"
    points = 10
    expect "dropped" {
      from    = [app.frontend, app.worker]
      to      = app.backend.port.http
      because = "An isolated pod takes no connection."
    }
  }
  objective "still-egresses" {
    points     = 5
    depends_on = ["isolated"]
    expect "allowed" {
      from = app.backend
      to   = external.internet
    }
  }
}

task "allow-frontend" {
  title = "The frontend reaches the backend, and nobody else"
  objective "table" {
    points  = 8
    partial = "proportional"
    matrix {
      from = [app.frontend, app.worker, app.scraper, app.backend]
      to   = [app.backend.port.http]
      via  = "ip"
      allow = [[app.frontend, app.backend.port.http]]
    }
  }
  objective "only" {
    title      = "On its port alone"
    points     = 4
    visibility = "hidden"
    depends_on = ["deny/isolated"]
    invariant "others" {
      to           = [app.backend]
      except_apps  = [app.frontend]
      except_ports = [8080]
    }
  }
  objective "one-policy-more" {
    points     = 3
    depends_on = ["table"]
    object "two-policies" {
      kind      = "NetworkPolicy"
      condition = "size(objects) >= 2"
      message   = "Leave the default deny in place and add a policy of its own."
    }
  }
}

task "tidy-up" {
  title      = "Open again"
  visibility = "after_due"
  setup {
    label "batch" {
      labels = { team = "batch" }
    }
  }
  objective "open" {
    points = 5
    expect "allowed" {
      from = app.worker
      to   = app.backend.port.http
    }
  }
  objective "labelled" {
    points = 2
    bonus  = true
    object "labels" {
      condition = "namespaces['batch']['team'] == 'batch' && 'tidy' in namespaces['batch'] && namespaces['batch']['tidy'] == 'yes'"
    }
  }
}
