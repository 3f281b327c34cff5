package minikube

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/providertest"
)

// start is a provider whose minikube is the test binary.
func provider(t *testing.T, home, mood string, attrs map[string]any) *Provider {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProvider(labs.Cluster{Provider: Name, Settings: attrs}, slog.New(slog.DiscardHandler),
		program{self, []string{"FAKE_MINIKUBE_HOME=" + home, "FAKE_MINIKUBE_MOOD=" + mood}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shop(t *testing.T) provision.Cluster {
	return provision.Cluster{Name: "labctl-shop", Instance: "shop", Lab: "shop", Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
}

func quiet() provision.CreateProgress {
	return provision.CreateProgress{Step: func(string) {}, Milestone: func(provision.Milestone) {}}
}

func calls(t *testing.T, home string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(home, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, attrs := range map[string]map[string]any{"one node": nil, "two nodes": {"nodes": 2, "profile": "mine"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			providertest.Run(t, providertest.Subject{
				New:     func(t *testing.T) provision.Provider { return provider(t, home, "slow", attrs) },
				Cluster: shop(t), Interrupt: 3, Timeout: time.Minute, Images: []string{"agnhost:1"},
			})
		})
	}
}

// What minikube is asked for; the fake itself refuses what would touch the user's things.
func TestArguments(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	c := shop(t)
	p := provider(t, home, "", map[string]any{"driver": "docker", "nodes": 2, "memory": "4g", "cpus": 4, "kubernetes_version": "1.34.2"})
	var steps []string
	w := quiet()
	w.Step = func(s string) { steps = append(steps, s) }
	if err := p.Create(t.Context(), c, w); err != nil {
		t.Fatal(err)
	}
	got := calls(t, home)
	started := got[slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "start ") })]
	for _, want := range []string{
		"--profile labctl-shop", "--output json", "--cni=false", "--network-plugin=cni", "--nodes 2", "--cpus 4", "--memory 4g", "--driver docker",
		"--kubernetes-version 1.34.2", "--keep-context", "--wait=apiserver",
	} {
		if !strings.Contains(started+" ", want+" ") {
			t.Errorf("minikube %s: no %s", started, want)
		}
	}
	for _, want := range []string{"selecting Driver (1 of 12)", "done (12 of 12)", "downloading preloaded-images-k8s-v18-v1.35.1-docker-overlay2-amd64.tar.lz4: 42%"} {
		if !slices.Contains(steps, want) {
			t.Errorf("no step %q among\n%s", want, strings.Join(steps, "\n"))
		}
	}
}

// Starting a stopped cluster takes as long as creating one, and says as much.
func TestResumeTellsProgress(t *testing.T) {
	t.Parallel()
	c, p := shop(t), provider(t, t.TempDir(), "", nil)
	if err := errors.Join(p.Create(t.Context(), c, quiet()), p.Pause(t.Context(), c)); err != nil {
		t.Fatal(err)
	}
	var steps []string
	if err := p.Resume(t.Context(), c, func(s string) { steps = append(steps, s) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(steps, "selecting Driver (1 of 12)") {
		t.Errorf("the steps are %q", steps)
	}
}

// Pods get addresses of the range that minikube gives the nodes, not of 10.0.0.0/8, which includes the machines' own.
func TestValues(t *testing.T) {
	t.Parallel()
	values, err := provider(t, t.TempDir(), "", nil).Values(t.Context(), shop(t))
	if ipam, _ := values["ipam"].(map[string]any); err != nil || ipam["mode"] != "kubernetes" {
		t.Errorf("values %v, %v", values, err)
	}
}

// minikube's own errors come through, with its advice.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ mood, want, advice string }{
		{"no driver", "Cannot connect to the Docker daemon", "Start the Docker service"},
		{"no memory", "less than the usable minimum of 1800MB", ""},
		{"offline", "lookup dl.k8s.io: no such host", ""},
	} {
		t.Run(tc.mood, func(t *testing.T) {
			t.Parallel()
			p := provider(t, t.TempDir(), tc.mood, nil)
			err := p.Create(t.Context(), shop(t), quiet())
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.advice) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Create: %v, want %q and %q", err, tc.want, tc.advice)
			}
			findings := p.Preflight(t.Context(), shop(t))
			last := findings[len(findings)-1]
			if last.Severity != provision.Failure || !strings.Contains(last.Message, tc.want) || !strings.Contains(last.Fix, tc.advice) {
				t.Errorf("preflight: %+v", findings)
			}
		})
	}
}

func TestMinikubeIsMissing(t *testing.T) {
	t.Parallel()
	p := provider(t, t.TempDir(), "", nil)
	p.program.path = "no-such-minikube"
	findings := p.Preflight(t.Context(), shop(t))
	if len(findings) != 1 || findings[0].Severity != provision.Failure || findings[0].Message != "minikube was not found" || !strings.Contains(findings[0].Fix, "install minikube") {
		t.Errorf("findings %+v", findings)
	}
	if _, err := p.Find(t.Context(), shop(t)); err == nil || !strings.Contains(err.Error(), "minikube was not found") {
		t.Errorf("Find: %v", err)
	}
}

// Only the lab's own context gets into its kubeconfig, and the user's file is left alone.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	c := shop(t)
	home := t.TempDir()
	p := provider(t, home, "", nil)
	if _, err := p.Kubeconfig(t.Context(), c); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("the kubeconfig of nothing: %v", err)
	}
	if err := p.Create(t.Context(), c, quiet()); err != nil {
		t.Fatal(err)
	}
	data, err := p.Kubeconfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.Load(data)
	if err != nil || cfg.CurrentContext != "labctl-shop" || len(cfg.Contexts) != 1 || len(cfg.AuthInfos) != 1 {
		t.Errorf("%s, %v", data, err)
	}
}

func TestFoundOf(t *testing.T) {
	t.Parallel()
	node := func(host, kubelet, api string) nodeStatus {
		return nodeStatus{Name: "n", Host: host, Kubelet: kubelet, APIServer: api}
	}
	worker := nodeStatus{Name: "n-m02", Host: "Running", Kubelet: "Running", APIServer: "Irrelevant", Worker: true}
	running := node("Running", "Running", "Running")
	for _, tc := range []struct {
		name   string
		nodes  []nodeStatus
		state  provision.FoundState
		detail string
	}{
		{"running", []nodeStatus{running, worker}, provision.Running, ""},
		{"stopped", []nodeStatus{node("Stopped", "Stopped", "Stopped")}, provision.Stopped, "stopped"},
		{"paused", []nodeStatus{node("Running", "Stopped", "Paused")}, provision.Stopped, "stopped"},
		{"half stopped", []nodeStatus{node("Stopped", "Stopped", "Stopped"), worker}, provision.Stopped, "1 of 2 nodes are stopped"},
		{"deleted", []nodeStatus{node("Nonexistent", "Nonexistent", "Nonexistent")}, provision.Broken, "missing: n"},
		{"too few", []nodeStatus{running}, provision.Running, ""},
		{"no API", []nodeStatus{node("Running", "Running", "Stopped")}, provision.Stopped, "its API server stopped"},
		{"a word that is new", []nodeStatus{node("Exploded", "", "")}, provision.Broken, "node n is exploded, its kubelet unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := foundOf(tc.nodes, 1)
			if got.State != tc.state || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("got %+v", got)
			}
		})
	}
	if got := foundOf([]nodeStatus{running}, 2); got.State != provision.Broken || got.Detail != "1 of 2 nodes" {
		t.Errorf("a node too few: %+v", got)
	}
}

func TestFullName(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"agnhost":                "docker.io/library/agnhost:latest",
		"agnhost:2":              "docker.io/library/agnhost:2",
		"cilium/cilium:v1":       "docker.io/cilium/cilium:v1",
		"quay.io/cilium/cilium":  "quay.io/cilium/cilium:latest",
		"localhost:5000/x:1":     "localhost:5000/x:1",
		"localhost/x:1":          "localhost/x:1",
		"quay.io/c/c@sha256:abc": "quay.io/c/c@sha256:abc",
	} {
		if got := fullName(image); got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
}

// What is no event, too long, or cut off must not be a panic or hang.
func TestFollowOddOutput(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":   "",
		"no JSON":   "* minikube v1.38.1\n",
		"half":      `{"type":"io.k8s.sigs.minikube.step","data":{"name"`,
		"no name":   `{"type":"io.k8s.sigs.minikube.step","data":{}}` + "\n",
		"a number":  `{"type":"io.k8s.sigs.minikube.step","data":{"currentstep":3}}` + "\n",
		"very long": strings.Repeat("x", 3<<20) + "\n",
		"null":      "null\n",
	} {
		if failed, _ := follow(strings.NewReader(text), func(string) {}); failed != nil {
			t.Errorf("%s: %v", name, failed)
		}
	}
}
