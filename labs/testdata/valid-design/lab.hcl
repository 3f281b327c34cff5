lab "networkpolicy" {
  title            = "Kubernetes NetworkPolicy fundamentals"
  required_version = ">= 0.1.0"
  pass_mark        = 70                      # percent
}

cluster "kind" {                             # the first cluster block is the default; --on picks another
  workers = 1
}
cluster "gke" {
  project      = var.project
  location     = "us-west2-a"
  machine_type = "n1-standard-4"
  nodes        = 2
}
cluster "minikube" {}
cluster "existing" {}                        # the kubeconfig's context

cilium {
  version = "1.20.2"
  values  = {}                               # merged over labctl's defaults
  hubble {
    relay = true
  }
}

namespace "monitoring" {
  labels = { type = "monitoring" }
}

app "backend" {                              # a Deployment and a Service; or manifests = ["manifests/demo-app.yaml"]
  labels = { app = "backend" }
  port "http" { port = 8080 }
}
app "frontend" {
  labels = { app = "frontend" }
}
app "monitoring" {
  namespace = namespace.monitoring.name
  labels    = { app = "monitoring" }
}

external "internet" {                        # has an in-lab stand-in for closed networks
  host = "kubernetes.io"
  port = 443
}

submission {                                 # what a student may hand in; anything else is refused, by name
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy"]
  may_label = ["kube-system", "monitoring"]  # namespaces whose labels are part of the answer
}

task "backend-ingress-deny" {
  title        = "Put the backend into ingress default deny"
  instructions = file("tasks/01.md")
  hint "selector" {
    text = "Which pods does the policy select?"
    cost = 1
  }
  objective "isolated" {
    points = 10
    expect "dropped" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
  objective "still-egresses" {               # side effects are graded too
    points = 5
    expect "allowed" {
      from = app.backend
      to   = external.internet
    }
  }
}

sample "solution" {
  path  = "samples/solution"
  score = 100
}
sample "forgot-dns" {
  path  = "samples/forgot-dns"
  score = 60
}

variable "project" {
  type    = string
  default = null
}
