submission {
  kinds      = ["NetworkPolicy", "CiliumNetworkPolicy", "Namespace"]
  namespaces = ["default", namespace.monitoring]
  may_label  = ["kube-system", namespace.monitoring.name]
  layout     = "either"
}

late {
  grace   = "15m"
  penalty = 10
  per     = "1d12h"
  max     = 50
  cutoff  = "7d"
}

attempts {
  limit  = 5
  counts = "best"
}

starter {
  path = "starter"
}

task "first" {
  title        = "The first task"
  instructions = templatefile("templates/task.md", { name = app.backend.name, port = app.backend.port.http.target_port })
  visibility   = "visible"
  hint "one" {
    text = "Look at the labels."
    cost = 0.5
  }
  setup {
    apply  = ["setup"]
    delete = ["manifests/old.yaml"]
    label "kube-system" {
      labels = { team = "net" }
    }
  }
  objective "expectations" {
    title       = "Connections"
    description = "Of every kind"
    points      = 10
    partial     = "proportional"
    hint "two" {
      text = "Look again."
    }
    expect "dropped" {
      from    = app.frontend
      to      = app.backend.port.http
      because = "it is isolated"
    }
    expect "denied" {
      from     = local.clients
      to       = [app.backend, external.office, node("worker"), "10.1.2.3"]
      via      = "ip"
      port     = 8080
      protocol = "TCP"
    }
    expect "allowed" {
      from = external.internet
      to   = app.frontend
      port = "dns"
    }
    expect "allowed" {
      from = node("worker")
      to   = app.frontend.port
    }
    expect "allowed" {
      from = app.frontend
      to   = app.backend.port.http
      via  = "cluster_ip"
      http {
        method  = "POST"
        path    = "/orders"
        headers = { X-Token = "t" }
        status  = 201
      }
    }
    expect "rejected" {
      from = app.frontend
      to   = app.monitoring
      icmp {
        type = "echo-request"
      }
    }
    expect "allowed" {
      from     = app.frontend
      to       = app.monitoring
      protocol = "ICMP"
    }
    expect "dns_failed" {
      from     = local.everybody
      dns      = app.backend.host
      protocol = "TCP"
    }
    expect "allowed" {
      from = app.worker
      to   = [dns("kubernetes.io"), external.internet]
    }
    expect "app_error" {
      from = app.worker
      to   = app.frontend.port.http
      via  = "service"
      http {}
    }
  }
}

task "second" {
  depends_on = ["first"]
  visibility = "after_due"
  mistake "of-the-task" {
    title     = "Of the task"
    kind      = "NetworkPolicy"
    namespace = "default"
    when      = "objects.exists(p, p.metadata.name == 'x')"
    message   = "There is an x."
    hint      = "Look at the names."
  }

  objective "table" {
    points     = 5
    bonus      = true
    visibility = "hidden"
    depends_on = ["first/expectations"]
    matrix {
      from      = concat(local.everybody, [external.internet])
      to        = [app.backend.port.http, app.frontend.port.http]
      allow     = [[[app.worker, external.internet], app.backend.port.http], { from = app.worker, to = app.frontend.port.http }]
      otherwise = "dropped"
    }
    matrix {
      from     = app.frontend
      to       = [app.backend, app.monitoring]
      via      = "ip"
      port     = 8080
      protocol = "TCP"
    }
  }
  objective "proof" {
    points     = 5
    depends_on = ["table"]
    invariant "closed" {
      to                = app.backend
      except_namespaces = [namespace.monitoring, "kube-system"]
      except_apps       = [app.frontend, app.worker]
      except_ports      = [app.backend.port.http, 53]
      except_external   = true
      protocols         = ["TCP"]
    }
    invariant "silent" {
      from = [app.backend, app.frontend]
    }
    object "named" {
      kind      = "NetworkPolicy"
      namespace = namespace.monitoring
      condition = "objects.exists(o, o.metadata.name.startsWith('a')) && 'team' in namespaces['kube-system']"
      message   = "no policy begins with a"
    }
  }
}

sample "solution" {
  path  = "samples/solution"
  score = 100
}

sample "also-right" {
  path        = "samples/solution"
  score       = 100
  solution    = true
  description = "Another way"
}

sample "wrong" {
  path    = "samples/wrong/policy.yaml"
  score   = 12.5
  points  = 2
  missed  = ["second/table", "second/proof"]
  mistake = "dns-forgotten"
}

mistake "everywhere" {
  when    = "objects.size() > 10"
  message = "So many policies are not needed."
}
