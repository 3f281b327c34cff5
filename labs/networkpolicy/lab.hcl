# The NetworkPolicy tutorial as a graded lab, and the example that other labs are copied from.
#
# The story: a small shop runs in the namespace "default". Its backend is closed to everyone, then opened
# again one client at a time; later the same is done to what the pods may reach. Every task is a
# checkpoint: the policies of a task stay in force in the next one unless the student deletes them.
#
# Four rules that this lab keeps, and yours should:
#   1. Ask for a truth table, not for one connection. "frontend is allowed" also holds with no policy at
#      all; "frontend is allowed and the other four are not" does not.
#   2. What must stay open is graded only once something was closed (depends_on): otherwise an empty
#      submission would collect those points.
#   3. For every grant there is somebody next to it who must not get it: worker beside frontend, logger
#      beside monitoring, and another team's agent that carries the label of our monitoring pods.
#   4. Other ports and pods that do not exist yet are an invariant's job: it is proved, not sampled.

lab "networkpolicy" {
  title            = "Kubernetes NetworkPolicy fundamentals"
  description      = "Close a backend, open it for the right clients, then do the same for egress and DNS."
  required_version = ">= 0.1.0"
  pass_mark        = 70
}

# --- Where it runs (offline grading needs none of this) -----------------------------------------------

variable "project" {
  type        = string
  default     = null # only a GKE cluster needs it
  description = "the Google Cloud project that a GKE cluster is made in"
}

# The first is the default.
cluster "kind" {
  workers = 1
}

cluster "gke" {
  project      = var.project
  location     = "us-west2-a"
  machine_type = "n1-standard-4"
  nodes        = 2
}

cluster "minikube" {}
cluster "existing" {}

cilium {
  version = "1.20.2"
  hubble {
    relay = true
  }
}

# --- Who is there ------------------------------------------------------------------------------------

namespace "monitoring" {}
namespace "batch" {}

# Written as manifests, because one thing about it matters to the lab: the Deployment carries other labels
# than its pods, and a policy selects pods. Its Service listens on 80 and forwards to 8080 in the pod.
app "backend" {
  manifests = ["manifests/backend.yaml"]
}

app "frontend" {
  labels = { app = "frontend" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}

# Same namespace as frontend: whoever opens the backend to "default" when only frontend was meant lets it in. Its second port tells
# "on any port" from "on port 8080".
app "worker" {
  labels = { app = "worker" }
  port "http" {
    port        = 80
    target_port = 8080
  }
  port "metrics" {
    port        = 9100
    target_port = 9090
  }
}

app "monitoring" {
  namespace = namespace.monitoring.name
  labels    = { app = "monitoring" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}

# Lives beside monitoring: it tells "the namespace monitoring" from "the monitoring pods".
app "logger" {
  namespace = namespace.monitoring.name
  labels    = { app = "logger" }
}

# Another team's monitoring agent: the right pod label in the wrong namespace. Nobody ever lets it in.
app "agent" {
  namespace = namespace.batch.name
  labels    = { app = "monitoring" }
}

external "internet" {
  host = "kubernetes.io"
  port = 443
}

submission {
  kinds     = ["NetworkPolicy"]
  may_label = [namespace.monitoring.name, "kube-system"]
  layout    = "either" # a folder a task, or everything in one file or folder
}

locals {
  shop      = [app.frontend, app.worker, app.backend] # everybody in "default"
  strangers = [app.monitoring, app.logger, app.agent] # everybody else
  clients   = concat([app.frontend, app.worker], local.strangers)

  shop_ports = [app.frontend.port.http, app.worker.port.http, app.worker.port.metrics, app.backend.port.http]
}

# --- Tasks -------------------------------------------------------------------------------------------

# No points: there is nothing to do yet. It is the positive control: what the later tasks expect to be
# dropped works here, so a drop can only come from a policy.
task "baseline" {
  title        = "See what works without any policy"
  instructions = file("tasks/01-baseline.md")

  objective "everything-open" {
    title  = "Everybody reaches the backend, and the backend reaches the internet"
    points = 0
    expect "allowed" {
      from = local.clients
      to   = app.backend.port.http
    }
    expect "allowed" {
      from = local.shop
      to   = external.internet
    }
  }
}

task "backend-ingress-deny" {
  title        = "Close the backend: ingress default deny"
  instructions = file("tasks/02-backend-ingress-deny.md")

  hint "isolation" {
    text = "The paragraph below the skeleton tells two things apart that look alike. Which of them is yours?"
    cost = 1
  }

  objective "isolated" {
    title  = "Nobody reaches the backend"
    points = 7
    expect "denied" {
      from    = local.clients
      to      = app.backend.port.http
      because = "until a policy selects the pods of the backend for ingress, everybody reaches them"
    }
    invariant "no-other-way-in" {
      to = [app.backend]
    }
  }

  objective "still-egresses" {
    title      = "The backend itself still reaches others"
    points     = 3
    depends_on = ["isolated"]
    expect "allowed" {
      from    = app.backend
      to      = [external.internet, app.frontend.port.http]
      because = "ingress and egress are isolated separately, and answers to the backend's own connections come back in"
    }
  }

  objective "only-the-backend" {
    title      = "No other pod is affected"
    points     = 2
    depends_on = ["isolated"]
    expect "allowed" {
      from    = local.strangers
      to      = [app.frontend.port.http, app.worker.port.http]
      because = "the policy is to select the backend's pods and no others"
    }
  }
}

task "allow-frontend" {
  title        = "Let the frontend in"
  instructions = file("tasks/03-allow-frontend.md")

  hint "port" {
    text = "The task says which command shows two ports. Clients dial the one; who has the other?"
    cost = 1
  }
  hint "peer" {
    text = "Task 2 ends with two commands before \"See it\". The second one shows whom you can name."
    cost = 1
  }

  objective "only-frontend" {
    title  = "The frontend reaches the backend; nobody else does"
    points = 8
    matrix {
      from  = local.clients
      to    = [app.backend.port.http]
      allow = [{ from = app.frontend, to = app.backend.port.http }]
    }
  }

  objective "only-8080" {
    title      = "On port 8080, and on no other"
    points     = 3
    depends_on = ["only-frontend"]
    # Together: nothing but the frontend, and nothing but 8080.
    invariant "nobody-else" {
      to          = [app.backend]
      except_apps = [app.frontend]
    }
    invariant "no-other-port" {
      to           = [app.backend]
      except_ports = [8080]
    }
  }

  objective "nothing-else-changed" {
    title      = "Everybody else is as open as before"
    points     = 2
    depends_on = ["only-frontend"]
    expect "allowed" {
      from = local.strangers
      to   = [app.frontend.port.http, app.worker.port.http]
    }
    expect "allowed" {
      from = local.shop
      to   = [external.internet, app.monitoring.port.http]
    }
  }
}

task "allow-namespace" {
  title        = "Let the namespace talk to itself, and clean up"
  instructions = file("tasks/04-allow-namespace.md")

  hint "everything" {
    text = "Both blanks of the policy have the same answer. It stands in the paragraph about the **empty** selector."
    cost = 1
  }
  hint "delete" {
    text = "Policies only ever add. What you no longer want has to be deleted: see \"What to submit\"."
    cost = 0
  }

  objective "within-namespace" {
    title  = "Pods in default reach each other; no other namespace reaches them"
    points = 7
    matrix {
      from  = concat(local.shop, local.strangers)
      to    = local.shop_ports
      allow = [{ from = local.shop, to = local.shop_ports }]
    }
    invariant "nobody-from-outside" {
      to                = local.shop
      except_namespaces = ["default"]
    }
  }

  # No connection can tell whether the old rule is gone: the new one allows more. So this one
  # objective looks at the objects.
  objective "earlier-allow-gone" {
    title      = "The rule for the frontend is gone"
    points     = 2
    depends_on = ["within-namespace"]
    object "no-rule-names-the-frontend" {
      kind      = "NetworkPolicy"
      condition = <<-CEL
        objects.all(p, !has(p.spec) || !has(p.spec.ingress) || p.spec.ingress.all(rule, !has(rule.from) || rule.from.all(peer,
          !has(peer.podSelector) || !has(peer.podSelector.matchLabels) || !("app" in peer.podSelector.matchLabels))))
      CEL
      message   = "a policy that lets in pods by their app label is still in force"
    }
  }

  objective "egress-untouched" {
    title      = "What the pods may reach has not changed"
    points     = 1
    depends_on = ["within-namespace"]
    expect "allowed" {
      from = local.shop
      to   = [external.internet, app.monitoring.port.http]
    }
  }
}

task "allow-monitoring-namespace" {
  title        = "Let another namespace in, by its label"
  instructions = file("tasks/05-allow-monitoring-namespace.md")

  hint "label" {
    text = "The task needs two files. What the one puts in place, the other relies on: compare them letter by letter."
    cost = 1
  }

  objective "monitoring-in" {
    title  = "Pods of the namespace monitoring reach the backend; the namespace batch does not"
    points = 7
    matrix {
      from  = local.strangers
      to    = [app.backend.port.http]
      allow = [{ from = [app.monitoring, app.logger], to = app.backend.port.http }]
    }
  }

  objective "only-8080" {
    title      = "From monitoring only, on port 8080 only"
    points     = 2
    depends_on = ["monitoring-in"]
    invariant "no-other-namespace" {
      to                = [app.backend]
      except_namespaces = ["default", namespace.monitoring.name]
    }
    invariant "no-other-port" {
      to                = [app.backend]
      except_namespaces = ["default"]
      except_ports      = [8080]
    }
  }

  objective "only-the-backend" {
    title      = "The other pods of default stay closed to other namespaces, and the backend goes out as before"
    points     = 1
    depends_on = ["monitoring-in"]
    expect "denied" {
      from = local.strangers
      to   = [app.frontend.port.http, app.worker.port.http]
    }
    # A policy that is about egress as well, without a rule for it, closes the way out.
    expect "allowed" {
      from    = app.backend
      to      = external.internet
      because = "letting somebody in is to close no way out"
    }
  }
}

task "allow-monitoring-pods" {
  title        = "Narrow it to the monitoring pods"
  instructions = file("tasks/06-allow-monitoring-pods.md")

  hint "and-or" {
    text = "The task prints two forms of `from`, and they differ by one character. Put your policy beside both."
    cost = 2
  }

  objective "only-monitoring-pods" {
    title  = "The monitoring pods in the namespace monitoring reach the backend; nobody else from outside default does"
    points = 9
    matrix {
      from  = local.strangers
      to    = [app.backend.port.http]
      allow = [{ from = app.monitoring, to = app.backend.port.http }]
    }
  }

  objective "nothing-more" {
    title      = "On port 8080 only, nowhere else in default, and the backend goes out as before"
    points     = 3
    depends_on = ["only-monitoring-pods"]
    invariant "nobody-else" {
      to                = [app.backend]
      except_namespaces = ["default"]
      except_apps       = [app.monitoring]
    }
    invariant "no-other-port" {
      to                = [app.backend]
      except_namespaces = ["default"]
      except_ports      = [8080]
    }
    expect "denied" {
      from = local.strangers
      to   = [app.frontend.port.http, app.worker.port.http]
    }
    expect "allowed" {
      from    = app.backend
      to      = external.internet
      because = "letting somebody in is to close no way out"
    }
  }
}

task "frontend-egress-deny" {
  title        = "Close the frontend's egress"
  instructions = file("tasks/07-frontend-egress-deny.md")

  hint "policy-types" {
    text = "Below the skeleton the task says which field must be there. What stands under it is what the title closes."
    cost = 1
  }

  objective "isolated" {
    title  = "The frontend reaches nobody, although the backend would let it in"
    points = 8
    # By address: by name it would already fail at the look-up, which is the next block.
    expect "dropped" {
      from    = app.frontend
      to      = [app.backend.port.http, app.worker.port.http, external.internet]
      via     = "ip"
      because = "a connection needs both sides: egress of the client and ingress of the server"
    }
    expect "dns_failed" {
      from = app.frontend
      to   = app.backend.port.http
    }
    invariant "no-other-way-out" {
      from = [app.frontend]
    }
  }

  objective "one-direction-one-pod" {
    title      = "The frontend still answers, and the other pods still reach what they reached"
    points     = 4
    depends_on = ["isolated"]
    expect "allowed" {
      from = app.worker
      to   = [app.frontend.port.http, app.backend.port.http]
    }
    expect "allowed" {
      from = [app.worker, app.backend]
      to   = [external.internet, app.monitoring.port.http]
    }
  }
}

task "frontend-egress-backend" {
  title        = "Let the frontend out to the backend"
  instructions = file("tasks/08-frontend-egress-backend.md")

  hint "peer" {
    text = "This is task 3 seen from the other end: what did the backend's policy say there about the frontend?"
    cost = 1
  }

  objective "reaches-backend" {
    title  = "By address the frontend reaches the backend and nobody else"
    points = 7
    matrix {
      from  = [app.frontend]
      to    = [app.backend.port.http, app.worker.port.http, app.monitoring.port.http, external.internet]
      via   = "ip"
      allow = [{ from = app.frontend, to = app.backend.port.http }]
    }
  }

  objective "only-8080" {
    title      = "On port 8080, and on no other; the other pods still reach what they reached"
    points     = 2
    depends_on = ["reaches-backend"]
    invariant "nobody-else" {
      from        = [app.frontend]
      except_apps = [app.backend]
    }
    invariant "no-other-port" {
      from         = [app.frontend]
      except_ports = [8080]
    }
    # A policy that selects more than the frontend isolates the egress of the others, too. By address: by name it
    # would already fail at the look-up, and the report would speak of DNS.
    expect "allowed" {
      from    = [app.worker, app.backend]
      to      = external.internet
      via     = "ip"
      because = "the pods that are not the frontend's are to keep what they have"
    }
  }

  objective "name-fails" {
    title      = "By name it does not: the look-up is egress, too"
    points     = 1
    depends_on = ["reaches-backend"]
    expect "dns_failed" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
}

task "allow-dns" {
  title        = "DNS for all pods, and nothing else"
  instructions = file("tasks/09-allow-dns.md")

  hint "where" {
    text = "Task 5 did the same with two files, for the namespace monitoring. What is the counterpart of each of them here?"
    cost = 1
  }
  hint "protocol" {
    text = "The paragraph above \"The label\" says how short and how long answers travel. The skeleton has a place for each."
    cost = 1
  }

  # The side effect is asked for as well: the policy selects every pod, so every pod is now isolated for
  # egress. The backend and the worker, open until now, lose all but DNS. (Without this half the objective
  # would be met by no policy at all.)
  objective "dns-only" {
    title  = "Every pod of default resolves names; worker and backend reach nobody else"
    points = 7
    expect "allowed" {
      from = local.shop
      to   = dns("backend.default.svc.cluster.local")
    }
    expect "dropped" {
      from    = [app.worker, app.backend]
      to      = [app.frontend.port.http, app.monitoring.port.http, external.internet]
      via     = "ip"
      because = "a policy that selects every pod for egress isolates every pod for egress"
    }
  }

  objective "by-name" {
    title      = "The frontend reaches the backend by name"
    points     = 2
    depends_on = ["dns-only"]
    expect "allowed" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }

  objective "over-tcp" {
    title      = "Over TCP as well: an answer that is too long for UDP is asked for again over TCP"
    points     = 2
    depends_on = ["dns-only"]
    expect "allowed" {
      from     = local.shop
      to       = dns("backend.default.svc.cluster.local")
      protocol = "TCP"
    }
  }

  objective "nothing-more" {
    title      = "On port 53 in kube-system, and nowhere else"
    points     = 1
    depends_on = ["dns-only"]
    invariant "only-port-53" {
      from         = [app.worker, app.backend]
      except_ports = [53]
    }
    invariant "only-kube-system" {
      from              = [app.worker, app.backend]
      except_namespaces = ["kube-system"]
    }
  }
}

task "backend-egress" {
  title        = "Give the backend back what it needs"
  instructions = file("tasks/10-backend-egress.md")

  hint "ip-block" {
    text = "The second paragraph of the task gives both the field and its value."
    cost = 1
  }

  objective "backend-out" {
    title  = "The backend reaches the internet; frontend and worker do not"
    points = 6
    matrix {
      from  = local.shop
      to    = [external.internet]
      via   = "ip"
      allow = [{ from = app.backend, to = external.internet }]
    }
    expect "allowed" {
      from = app.backend
      to   = external.internet
    }
  }

  objective "nothing-more" {
    title      = "HTTPS to the internet and DNS only, and everything that was granted before still holds"
    points     = 3
    depends_on = ["backend-out"]
    invariant "only-https-and-dns" {
      from         = [app.backend]
      except_ports = [53, 443]
    }
    # Without this, a rule with port 443 and no peer would do, and it opens port 443 of every pod.
    invariant "no-other-pod" {
      from              = [app.backend]
      except_namespaces = ["kube-system"]
      except_external   = true
    }
    # The backend may not open a connection to the frontend, and yet its answers arrive: policies are stateful.
    expect "allowed" {
      from = [app.frontend, app.monitoring]
      to   = app.backend.port.http
    }
    expect "denied" {
      from = [app.logger, app.agent]
      to   = app.backend.port.http
    }
  }
}

# What students start from: the skeletons of the instructions, commented out.
starter {
  path = "starter"
}
