//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	"github.com/labctl/labctl/provision/providertest"
)

// bareCluster is a cluster without a network that no instance has created.
type bareCluster struct {
	s                *suite
	node, kubeconfig string
	image            string // of apps
}

// bare makes a cluster without a network, in which kind's provider keeps its contract and others use labctl.
func (s *suite) bare(t *testing.T) {
	site, err := provision.ReadSettings("", false, s.env)
	if err != nil {
		t.Fatal(err)
	}
	b := &bareCluster{
		s: s, node: "labctl-" + s.name + "-hand-control-plane", kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), image: site.AppImage,
	}
	t.Cleanup(func() {
		if left := s.containers(t, s.name+"-hand"); len(left) > 0 {
			t.Errorf("containers are left: %v", left)
		}
	})
	providertest.Run(t, providertest.Subject{
		New: func(t *testing.T) provision.Provider {
			return s.provider(t, kind.New, labs.Cluster{Provider: kind.Name, Settings: map[string]any{"workers": 0}}, site)
		},
		Cluster: provision.Cluster{Name: "labctl-" + s.name + "-hand", Kubeconfig: filepath.Join(t.TempDir(), "none")},
		Images:  site.Images,
		Use: func(t *testing.T, kubeconfig []byte) {
			if err := os.WriteFile(b.kubeconfig, kubeconfig, 0o600); err != nil {
				t.Fatal(err)
			}
			was := b.start(t)
			b.shared(t, was)
			b.otherNetwork(t)
		},
	})
}

// start waits until the cluster has what Kubernetes puts into every namespace, and returns what there is.
func (b *bareCluster) start(t *testing.T) string {
	t.Helper()
	eventually(t, time.Minute, time.Second, func() error {
		if b.kubectl(t, "-n", "default", "get", "configmap", "kube-root-ca.crt", "--ignore-not-found", "-o", "name") == "" {
			return errors.New("the namespace default has no kube-root-ca.crt")
		}
		return nil
	})
	return b.all(t)
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
	const onNode = `
		ls /etc/cni/net.d /opt/cni/bin /etc/sysctl.d
		ip -o link | grep -oE '(cilium|lxc)[_a-z0-9]*'
		for family in -4 -6; do ip $family rule; ip $family route show table all | grep -E 'cilium|lxc|table 200'; done
		iptables-save | grep -i cilium; ip6tables-save | grep -i cilium
		ipset list -name 2>/dev/null
		find /sys/fs/bpf /run/cilium -mindepth 1 -xdev ! -name '*.debug' 2>/dev/null # of which the kernel's own come with the mount
		mount | grep cilium; true`
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
		lines := func(of, without string) string {
			known := strings.Split(without, "\n")
			return strings.Join(slices.DeleteFunc(strings.Split(of, "\n"), func(line string) bool { return slices.Contains(known, line) }), "\n")
		}
		return fmt.Errorf("%s the cluster no longer has\n%s\nand has\n%s", when, lines(was, now), lines(now, was))
	})
}

// shared puts two labs into the cluster while somebody else uses it: the first installs Cilium, the second uses it. Both
// are graded as if they were alone, nothing of the others' changes, and when both are gone the cluster is what it was.
func (b *bareCluster) shared(t *testing.T, was string) {
	s := b.s
	first, second := s.name+"-bare", s.name+"-beside"
	namespaceOf := map[string]string{first: "e2e-bare", second: "e2e-beside"}
	names := []string{first, second}
	labOf := map[string]string{}
	for _, name := range names {
		labOf[name] = b.lab(t, name, namespaceOf[name])
	}
	answer := func(name, sample string) string {
		return s.file(t, strings.ReplaceAll(strangersSubmissions[sample], "NS", namespaceOf[name]))
	}
	other := &stranger{b: b}
	b.kubectl(t, "create", "namespace", strangersNamespace)
	other.creates(t, "early", strangersObjects)
	where := "using context kind-labctl-" + s.name + "-hand, server https://"
	s.run(t, 0, "up", labOf[first], "--instance", first).has(t, where, `1 of 1 connection`)
	other.creates(t, "between", strangersObjects+"---"+strangersPolicies)
	other.rests(t)
	s.run(t, 3, "up", labOf[second], "--instance", second).has(t, "is already in this cluster", "--adopt")
	s.gone(t, second)
	s.run(t, 0, "up", labOf[second], "--instance", second, "--adopt").has(t, where, "which was already installed", `1 of 1 connection`)
	other.untouched(t, "up")
	other.creates(t, "later", strangersObjects+"---"+strangersPolicies)
	other.rests(t)
	list := s.run(t, 0, "list").stdout
	for _, name := range names {
		if !strings.Contains(list, name) || strings.Contains(list, "incomplete") {
			t.Errorf("labctl list:\n%s", list)
		}
	}

	began := time.Now()
	for _, sample := range slices.Sorted(maps.Keys(strangersSubmissions)) {
		want := new(grade.Report)
		s.start(t, "grade", labOf[first], "--submission", answer(first, sample), "--offline", "-o", "json").wait(t, time.Minute).json(t, want)
		graded := map[string]*process{}
		for _, name := range names { // at the same time
			graded[name] = s.start(t, "grade", labOf[name], "--submission", answer(name, sample), "--engine", "live", "--instance", name, "-o", "json")
		}
		for _, name := range names {
			got, r := new(grade.Report), graded[name].wait(t, 5*time.Minute)
			if r.json(t, got); got.Score != want.Score || got.Score.Max != 1 {
				t.Errorf("%s of %s: score %+v, offline %+v\n%s", sample, name, got.Score, want.Score, r.stderr)
			}
		}
		other.untouched(t, "grading "+sample)
	}

	t.Logf("%.1f s: every sample, graded live in both at the same time", time.Since(began).Seconds())
	b.refused(t, first, labOf[first], answer(first, "solution"))
	other.untouched(t, "what was refused")
	b.watched(t, second, answer(second, "solution"))
	other.untouched(t, "watch")
	b.kubectl(t, "create", "-f", answer(first, "solution"))
	s.run(t, 0, "grade", first).has(t, "Score 1 of 1")

	// What the student of one lab did goes, and stays in the other.
	s.run(t, 0, "reset", "--instance", first).has(t, "deleted   NetworkPolicy e2e-bare/close")
	if left := b.kubectl(t, "-n", "e2e-beside", "get", "networkpolicies", "-o", "name"); left != "networkpolicy.networking.k8s.io/close" {
		t.Errorf("the reset of one lab left the other %q", left)
	}
	other.untouched(t, "reset")
	s.run(t, 0, "down", "--instance", second)
	s.gone(t, second)
	other.untouched(t, "down")
	s.run(t, 0, "status", "--instance", first).has(t, "Everything is ready")
	s.run(t, 0, "down", "--instance", first).has(t, `resource definition ciliumnetworkpolicies\.cilium\.io kept`)
	s.gone(t, first)
	other.untouched(t, "down of both")
	other.leaves(t)
	b.kubectl(t, "delete", "customresourcedefinitions", "ciliumnetworkpolicies.cilium.io", "ciliumclusterwidenetworkpolicies.cilium.io", "ciliumcidrgroups.cilium.io")
	b.same(t, "after down of both", was)
}

// watched watches an instance while its student applies an answer that is right.
func (b *bareCluster) watched(t *testing.T, instance, answer string) {
	t.Helper()
	p := b.s.start(t, "watch", "--instance", instance, "-o", "json")
	points := func(want float64) {
		t.Helper()
		eventually(t, time.Minute, 100*time.Millisecond, func() error {
			if !p.running() {
				t.Fatalf("%s has ended:\n%s%s", p.line, p.stdout.String(), p.stderr.String())
			}
			rep := new(grade.Report)
			if err := json.Unmarshal([]byte(lastLine(p.stdout.String())), rep); err != nil || float64(rep.Score.Points) != want {
				return fmt.Errorf("%s: %v, score %+v, want %v", p.line, err, rep.Score, want)
			}
			return nil
		})
	}
	points(0)
	b.kubectl(t, "create", "-f", answer)
	points(1)
	p.interrupt(t)
	if r := p.wait(t, time.Minute); r.code != 130 {
		t.Errorf("%s: exit code %d, want 130\n%s", r.line, r.code, r.stderr)
	}
}

// refused has a policy of somebody else's that applies to the lab: it is named, and stays.
func (b *bareCluster) refused(t *testing.T, instance, lab, answer string) {
	t.Helper()
	b.kubectl(t, "create", "-f", b.s.file(t, `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: for-all}, spec: {endpointSelector: {}, ingress: [{fromEntities: [all]}], egress: [{toEntities: [all]}]}}`))
	const ref = "CiliumClusterwideNetworkPolicy for-all"
	var forAll string
	eventually(t, 30*time.Second, 100*time.Millisecond, func() error {
		obj := b.objects(t)[ref]
		if why := unsettled(obj); why != "" {
			return fmt.Errorf("%s: %s", ref, why)
		}
		forAll = toJSON(t, obj)
		return nil
	})
	b.s.run(t, 3, "grade", lab, "--submission", answer, "--engine", "live", "--instance", instance).
		has(t, ref, "would falsify the grade")
	b.s.run(t, 3, "grade", instance).has(t, ref)
	b.s.run(t, 0, "reset", instance).has(t, "kept      "+ref)
	if now := toJSON(t, b.objects(t)[ref]); now != forAll {
		t.Errorf("the policy for all was\n%s\nand is\n%s", forAll, now)
	}
	b.kubectl(t, "delete", "ccnp", "for-all")
}

// otherNetwork gives the cluster another network than Cilium: a lab is refused.
func (b *bareCluster) otherNetwork(t *testing.T) {
	const other = `{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.250.0.0/24"}]]}}]}`
	command(t, "docker", "exec", b.node, "sh", "-c", "echo '"+other+"' > /etc/cni/net.d/10-other.conflist")
	b.kubectl(t, "wait", "--for=condition=Ready", "node/"+b.node, "--timeout=60s")
	time.Sleep(time.Second) // its pods start
	was, name := b.all(t), b.s.name+"-other"
	b.s.run(t, 3, "up", b.lab(t, name, "e2e-other"), "--instance", name).has(t, "node "+b.node+" is Ready", "not Cilium", "--install-cilium")
	b.s.gone(t, name)
	b.same(t, "after an up that was refused", was)
}
