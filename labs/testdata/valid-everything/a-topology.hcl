# Every block and attribute of the language once. The lab is spread over two files.
lab "everything" {
  title            = "Everything at once"
  description      = "A lab that uses the whole language."
  required_version = "~> 0.1"
  pass_mark        = 62.5
}

locals {
  everybody = concat(local.clients, [app.backend])
  clients   = [for a in [app.frontend, app.worker] : a]
  web       = { port = 80, target = 8080 }
}

cluster "kind" {
  control_planes     = 1
  workers            = 2
  kubernetes_version = "1.34.2"
  kube_proxy         = "none"
  ip_family          = "dual"
  pod_subnet         = "10.244.0.0/16,fd00:10:244::/56"
  service_subnet     = "10.96.0.0/16"
  api_port           = 6443
  port_mapping {
    container_port = 30080
    host_port      = 8080
    listen_address = "127.0.0.1"
    protocol       = "TCP"
  }
}

cluster "gke" {
  project         = "my-project"
  location        = "us-west2-a"
  machine_type    = "n1-standard-4"
  nodes           = 3
  release_channel = "stable"
  version         = "1.34"
  spot            = true
  disk_gb         = 30
  network         = "default"
  subnetwork      = "default"
  private_nodes   = true
  endpoint        = "dns"
  labels          = { course = "net-101" }
  service_account = "labs@my-project.iam.gserviceaccount.com"
  dataplane       = "v1"
  ttl             = "8h"

  authorized_networks = ["203.0.113.0/24", "2001:db8::/48"]
  workload_identity   = true
}

cluster "minikube" {
  profile            = "everything"
  driver             = "docker"
  nodes              = 2
  memory             = "4g"
  cpus               = 2
  kubernetes_version = "v1.34.0"
}

cluster "existing" {
  kubeconfig = "~/.kube/config"
  context    = "lab"
}

cilium {
  version = "1.20.2"
  chart   = "charts/cilium-1.20.2.tgz"
  values  = { debug = { enabled = true }, replicas = 2, list = ["a", 1.5, null] }
  hubble {
    relay = false
  }
}

namespace "monitoring" {
  labels = { type = "monitoring" }
}

namespace "team" {
  name = "team-a"
}

app "backend" {
  manifests = ["manifests/backend.yaml"]
}

app "frontend" {
  namespace = "default"
  labels    = { app = "frontend", tier = "web" }
  replicas  = 2
  image     = "registry.k8s.io/e2e-test-images/agnhost:2.53"
  command   = ["/agnhost"]
  args      = ["netexec", "--http-port=${local.web.target}"]
  env       = { MODE = "demo" }
  node      = "worker"
  service   = "front"
  port "http" {
    port        = local.web.port
    target_port = local.web.target
    protocol    = "TCP"
  }
  port "dns" {
    port     = 53
    protocol = "UDP"
  }
}

app "worker" {}

app "monitoring" {
  namespace = namespace.monitoring
  labels    = { app = "monitoring" }
}

app "agent" {
  namespace = namespace.team.name
}

external "internet" {
  host = "kubernetes.io"
  port = 443
}

external "office" {
  cidr      = "198.51.100.0/24"
  addresses = ["198.51.100.7"]
  port      = 8443
  protocol  = "TCP"
}

external "partner" {
  cidr = "192.0.2.0/28"
}
