lab "clusters" {}
cluster "knd" {}
cluster "kind" {
  workers            = -1
  control_planes     = 0
  kubernetes_version = "latest"
  node_image         = "kindest/node:v1.34.0"
  kube_proxy         = "ebpf"
  ip_family          = "v4"
  pod_subnet         = "10.244.0.1/16"
  machine_type       = "n1"
  port_mapping {
    container_port = 0
    listen_address = "localhost"
  }
}
cluster "gke" {
  nodes           = "three"
  location        = ""
  release_channel = "fast"
  ttl             = "1s"
  labels          = { "Bad" = "x" }
  dataplane       = "v3"
  disk_gb         = 1
  endpoint        = "vpn"
  autopilot       = true

  authorized_networks = ["203.0.113.7", "198.51.100.0/24"]
}
cluster "minikube" {
  memory = "much"
  driver = "none"
  cpus   = 0
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

