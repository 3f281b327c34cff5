//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/kind"
)

// bareCluster is a cluster without a network that no instance has created.
type bareCluster struct {
	s                *suite
	node, kubeconfig string
}

// newBare creates the cluster, with the images that the network and the apps need.
func (s *suite) newBare(t *testing.T) *bareCluster {
	t.Helper()
	site, err := provision.ReadSettings("", false, s.env)
	if err != nil {
		t.Fatal(err)
	}
	p := s.provider(t, kind.New, labs.Cluster{Provider: kind.Name, Settings: map[string]any{"workers": 0}}, site)
	c := provision.Cluster{Name: "labctl-" + s.name + "-hand", Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	t.Cleanup(func() {
		if err := p.Delete(context.Background(), c); err != nil {
			t.Error(err)
		}
	})
	progress := provision.CreateProgress{Milestone: func(provision.Milestone) {}, Step: func(string) {}}
	if err := p.Create(t.Context(), c, progress); err != nil {
		t.Fatal(err)
	}
	if loader, ok := p.(provision.ImageLoader); ok && len(site.Images) > 0 {
		if err := loader.LoadImages(t.Context(), c, site.Images, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := p.Kubeconfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Kubeconfig, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return &bareCluster{s, c.Name + "-control-plane", c.Kubeconfig}
}

func (b *bareCluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, "kubectl", append([]string{"--kubeconfig", b.kubeconfig}, args...)...)
}

// lab writes a lab in a namespace of the cluster.
func (b *bareCluster) lab(t *testing.T, name, namespace string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(strangersLab, name, b.kubeconfig, "kind-labctl-"+b.s.name+"-hand", namespace)
	if err := os.WriteFile(filepath.Join(dir, "lab.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// all is what must not change in the cluster for labs that come and go: its objects, whether the node has a network,
// and what the node has of one.
func (b *bareCluster) all(t *testing.T) string {
	t.Helper()
	const kinds = "namespaces,nodes,customresourcedefinitions,networkpolicies,deployments,daemonsets,services,configmaps,secrets,serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations"
	const spec = `{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.labels} {.data} {.spec.template.spec.containers[*].args} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="NetworkUnavailable")].status}{"\n"}{end}`
	const onNode = `ls /etc/cni/net.d; ls /opt/cni/bin; ip -o link | grep -o 'cilium_[a-z]*'; ip route | grep cilium; ls /sys/fs/bpf/cilium 2>/dev/null; true`
	lines := strings.Split(b.kubectl(t, "get", kinds, "-A", "-o", "jsonpath="+spec), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n" + command(t, "docker", "exec", b.node, "sh", "-c", onNode)
}

// same waits until the cluster is as it was.
func (b *bareCluster) same(t *testing.T, when, was string) {
	t.Helper()
	eventually(t, 2*time.Minute, time.Second, func() error {
		now := b.all(t)
		if now == was {
			return nil
		}
		before := strings.Split(was, "\n")
		differ := slices.DeleteFunc(strings.Split(now, "\n"), func(line string) bool { return slices.Contains(before, line) })
		return fmt.Errorf("%s the cluster was\n%s\nand has\n%s", when, was, strings.Join(differ, "\n"))
	})
}

// bare puts two labs into a cluster that has no network: the first installs Cilium, the second uses it, and when both
// are gone the cluster is what it was. Then the cluster gets another network, and is refused.
func (s *suite) bare(t *testing.T) {
	b := s.newBare(t)
	first, second := s.name+"-bare", s.name+"-beside"
	labOf := map[string]string{first: b.lab(t, "bare", "e2e-bare"), second: b.lab(t, "beside", "e2e-beside")}
	namespaceOf := map[string]string{first: "e2e-bare", second: "e2e-beside"}
	eventually(t, time.Minute, time.Second, func() error { // Kubernetes puts it into every namespace
		if b.kubectl(t, "-n", "default", "get", "configmap", "kube-root-ca.crt", "--ignore-not-found", "-o", "name") == "" {
			return errors.New("the namespace default has no kube-root-ca.crt")
		}
		return nil
	})
	was := b.all(t)
	where := "using context kind-labctl-" + s.name + "-hand, server https://"
	s.run(t, 0, "up", labOf[first], "--instance", first).has(t, where, `1 of 1 connection`)
	s.run(t, 3, "up", labOf[second], "--instance", second).has(t, "is already in this cluster", "--adopt")
	s.gone(t, second)
	s.run(t, 0, "up", labOf[second], "--instance", second, "--adopt").has(t, where, "which was already installed", `1 of 1 connection`)
	list := s.run(t, 0, "list").stdout
	for _, name := range []string{first, second} {
		if !strings.Contains(list, name) || strings.Contains(list, "incomplete") {
			t.Errorf("labctl list:\n%s", list)
		}
	}
	for _, name := range []string{first, second} {
		answer := s.file(t, strings.ReplaceAll(strangersSubmissions["solution"], "NS", namespaceOf[name]))
		got := new(grade.Report)
		s.run(t, 0, "grade", labOf[name], "--submission", answer, "--engine", "live", "--instance", name, "-o", "json").json(t, got)
		b.kubectl(t, "create", "-f", answer) // as a student does
		if got.Score.Points != 1 || got.Score.Max != 1 {
			t.Errorf("%s: score %+v", name, got.Score)
		}
	}
	s.run(t, 0, "reset", "--instance", first).has(t, "deleted   NetworkPolicy e2e-bare/close")
	if left := b.kubectl(t, "-n", "e2e-beside", "get", "networkpolicies", "-o", "name"); left != "networkpolicy.networking.k8s.io/close" {
		t.Errorf("the reset of one lab left the other %q", left)
	}
	s.run(t, 0, "down", "--instance", second)
	s.gone(t, second)
	s.run(t, 0, "status", "--instance", first).has(t, "Everything is ready")
	s.run(t, 0, "down", "--instance", first)
	s.gone(t, first)
	b.same(t, "after down of both", was)

	const other = `{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.250.0.0/24"}]]}}]}`
	command(t, "docker", "exec", b.node, "sh", "-c", "echo '"+other+"' > /etc/cni/net.d/10-other.conflist")
	b.kubectl(t, "wait", "--for=condition=Ready", "node/"+b.node, "--timeout=60s")
	time.Sleep(time.Second) // its pods start
	was = b.all(t)
	s.run(t, 3, "up", labOf[first], "--instance", first).has(t, "node "+b.node+" is Ready", "not Cilium", "--install-cilium")
	s.gone(t, first)
	b.same(t, "after an up that was refused", was)
}
