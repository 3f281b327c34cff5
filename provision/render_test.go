package provision

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

const kindsLab = `
lab "kinds" {}
cluster "kind" {
  workers = 2
}
app "agent" {
  kind         = "DaemonSet"
  host_network = true
  port "metrics" { port = 9100 }
  port "dns" {
    port     = 5353
    protocol = "UDP"
  }
}
app "pinned" {
  host_network = true
  node         = "worker"
  port "http" { port = 8080 }
}
app "store" {
  kind         = "StatefulSet"
  replicas     = 2
  service_type = "Headless"
  port "sql" { port = 5432 }
  liveness {
    command       = ["/agnhost", "--help"]
    initial_delay = "1m"
    timeout       = "5s"
  }
}
app "single" {
  kind = "Pod"
  readiness {
    command = ["true"]
  }
}
app "shop" {
  service_type = "NodePort"
  port "http" {
    port        = 80
    target_port = 8080
    node_port   = 30080
  }
  port "admin" { port = 81 }
  readiness {
    path     = "/hostname"
    port     = "admin"
    period   = "5s"
    failures = 1
  }
  liveness { port = 8080 }
}
task "t" {
  objective "o" {
    points = 1
    expect "allowed" {
      from = app.single
      to   = app.shop.port.http
    }
  }
}
`

// TestAppManifests: what up applies for each kind of app is in testdata/apps.golden.yaml, and valid.
func TestAppManifests(t *testing.T) {
	t.Parallel()
	objs, err := objects(loadLab(t, kindsLab), rendering{"kinds", "agnhost:1", "kind", "labctl-kinds"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, obj := range objs {
		data, err := yaml.Marshal(obj.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	file := manifest.File{Name: "apps.yaml", Data: out.Bytes()}
	if _, problems := manifest.Parse([]manifest.File{file}, manifest.DefaultLimits()); len(problems) > 0 {
		t.Error(problems.Err())
	}
	const golden = "testdata/apps.golden.yaml"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs (-update writes it; %v). Got:\n%s", golden, err, out.String())
	}
}

// TestNodeOfCluster: kind names nodes after the cluster, others do not.
func TestNodeOfCluster(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ provider, cluster, node, want string }{
		{"kind", "labctl-a", "worker", "labctl-a-worker"},
		{"kind", "labctl-a", "labctl-a-worker", "labctl-a-worker"},
		{"kind", "labctl-a", "", ""},
		{"existing", "their", "worker", "worker"},
		{"gke", "labctl-a", "gke-x", "gke-x"},
	} {
		if got := (rendering{provider: tc.provider, cluster: tc.cluster}).node(tc.node); got != tc.want {
			t.Errorf("%s of %s %s: got %q, want %q", tc.node, tc.provider, tc.cluster, got, tc.want)
		}
	}
}
