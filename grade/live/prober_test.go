package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

const probedPods = `
{apiVersion: v1, kind: Pod, metadata: {name: client-1, namespace: default, labels: {app: client}}, spec: {containers: [{name: app, image: bare}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: team, labels: {app: web}}, spec: {containers: [{name: app, image: web}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cilium-1, namespace: kube-system, labels: {k8s-app: cilium}}, spec: {containers: [{name: cilium-agent, image: cilium}]}}
`

// attempt is how one try of the connection ends: the exit code of curl, and what it prints.
type attempt struct {
	code int
	text string
	err  error // of the exec
}

var (
	connects = attempt{0, "|connect=0.001 ip=10.0.0.2 http=200|", nil}
	timesOut = attempt{28, "curl: (28) Connection timed out", nil}
	refused  = attempt{7, "curl: (7) Failed to connect: Connection refused", nil}
	noExec   = attempt{err: errors.New("exec in pod default/client-1: EOF")}
)

var nonce = regexp.MustCompile(`"nonce":"([0-9a-f]{16})"`)

// answer prints what the script of one probe prints.
func (a attempt) answer(out io.Writer, command []string) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	id := nonce.FindStringSubmatch(strings.Join(command, " "))[1]
	_, err := fmt.Fprintf(out, `{"nonce":%[1]q,"probe":0,"step":"connect","code":%[2]d,"text":%[3]q}`+"\n"+`{"nonce":%[1]q,"end":true}`+"\n",
		id, a.code, a.text)
	return 0, err
}

// probing is an engine in a cluster with a client and a server, in which Hubble reports no drop.
func probing(t *testing.T) (*Engine, *kubetest.Server) {
	t.Helper()
	api := kubetest.New(t)
	api.Add(probedPods)
	web := labs.App{Name: "web", Namespace: "team", Labels: map[string]string{"app": "web"}}
	client := labs.App{Name: "client", Namespace: "default", Labels: map[string]string{"app": "client"}}
	cfg := Config{
		Client: api.Client, Lab: &labs.Lab{Name: "shop", Apps: []labs.App{web, client}}, Parallel: 4,
		Log: slog.New(slog.DiscardHandler), Settle: time.Second,
		Instance: Instance{AppImage: "agnhost", Scope: scope.Scope{Instance: "shop", Exclusive: true, Canary: "labctl-canary"}},
	}
	e := &Engine{cfg: cfg, inForce: map[string]string{}, methods: newMethods(cfg)}
	e.runner = &probe.Runner{Client: api.Client, Timeout: time.Second}
	return e, api
}

func (e *Engine) testProber(t *testing.T) *prober {
	t.Helper()
	topology, err := readTopology(t.Context(), e.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &prober{engine: e, topology: topology, seen: map[string]probe.Result{}}
}

var clientToWeb = engine.Probe{
	From: labs.Source{App: "client"}, Want: verdict.Denied,
	To: labs.Target{App: "web", Via: labs.ViaIP, Port: 8080, Protocol: "TCP"},
}

// TestProbeError: what is a verdict on policies, and what is not: nobody gains or loses points for a probe_error.
func TestProbeError(t *testing.T) {
	t.Parallel()
	off := errors.New("Hubble is off")
	for _, tc := range []struct {
		name     string
		attempts []attempt // the last one is repeated
		unseen   error
		edit     func(*Engine, *prober)
		during   func(*testing.T, *kubetest.Server) // happens while the first attempt runs
		want     verdict.Verdict
		says     string
		tries    int32
	}{
		{name: "it works", attempts: []attempt{connects}, want: verdict.Allowed, tries: 1},
		{
			name: "a time-out without a drop", attempts: []attempt{timesOut},
			want: verdict.ProbeError, says: "Hubble reports no drop by a policy", tries: 2,
		},
		{name: "time-outs, and no Hubble", attempts: []attempt{timesOut}, unseen: off, want: verdict.Dropped, tries: 2},
		{name: "it works the second time", attempts: []attempt{timesOut, connects}, unseen: off, want: verdict.Allowed, tries: 2},
		{
			name: "every attempt differs", attempts: []attempt{timesOut, refused, timesOut}, unseen: off,
			want: verdict.ProbeError, says: "3 attempts had different results", tries: 3,
		},
		{name: "no exec", attempts: []attempt{noExec}, want: verdict.ProbeError, says: "exec in pod default/client-1: EOF", tries: 3},
		{
			name: "it did not work without policies", attempts: []attempt{timesOut}, unseen: off,
			edit: func(e *Engine, p *prober) {
				addr := p.topology.apps["web"].pods[0].Status.PodIP
				p.topology.cfg.Instance.Broken = map[Connection]string{{"default/client", addr + ":8080", "TCP"}: "no route"}
			},
			want: verdict.ProbeError, says: "it did not work without policies either (no route)", tries: 2,
		},
		{
			name: "the lab was changed", attempts: []attempt{timesOut}, unseen: off,
			edit: func(_ *Engine, p *prober) { p.topology.tampered = true },
			want: verdict.ProbeError, says: "only a drop that Hubble reports would count", tries: 2,
		},
		{
			name: "the server was replaced meanwhile", attempts: []attempt{timesOut}, unseen: off,
			during: func(t *testing.T, api *kubetest.Server) {
				pods := api.Client.Typed.CoreV1().Pods("team")
				if err := pods.Delete(t.Context(), "web-1", metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			},
			want: verdict.ProbeError, says: "the pods of web were replaced during the probe", tries: 2,
		},
		{
			name: "there is no server", attempts: []attempt{connects},
			edit: func(_ *Engine, p *prober) { p.topology.apps["web"].pods = nil },
			want: verdict.ProbeError, says: `the app "web" has no running pod`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, api := probing(t)
			e.unseen = tc.unseen
			p := e.testProber(t)
			if tc.edit != nil {
				tc.edit(e, p)
			}
			var tries atomic.Int32
			api.Exec = func(_ context.Context, _ kube.Pod, _ io.Reader, out, _ io.Writer, command ...string) (int, error) {
				n := int(tries.Add(1))
				if n == 1 && tc.during != nil {
					tc.during(t, api)
				}
				return tc.attempts[min(n, len(tc.attempts))-1].answer(out, command)
			}
			got, err := p.Probe(t.Context(), []engine.Probe{clientToWeb})
			if err != nil {
				t.Fatal(err)
			}
			o := got[0]
			if o.Verdict != tc.want || !strings.Contains(o.Error, tc.says) || tries.Load() != tc.tries {
				t.Errorf("%s after %d tries (%s%s), want %s after %d (%s)", o.Verdict, tries.Load(), o.Error, o.Seen, tc.want, tc.tries, tc.says)
			}
		})
	}
}

// TestMethods: a pod without tools is probed from an ephemeral container, and one that accepts none from a helper pod,
// which ends with the engine.
func TestMethods(t *testing.T) {
	t.Parallel()
	e, api := probing(t)
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "client-1", errors.New("no ephemeral containers"))
	api.Intercept = func(_, path string) error {
		if strings.HasSuffix(path, "/ephemeralcontainers") {
			return refusal
		}
		return nil
	}
	var from []string
	api.Exec = func(_ context.Context, pod kube.Pod, _ io.Reader, out, _ io.Writer, command ...string) (int, error) {
		switch {
		case pod.Namespace == metav1.NamespaceSystem:
			return 0, sameIdentities(t, api, out)
		case pod.Name == "client-1":
			return 0, &kube.NoProgramError{Err: errors.New("/bin/sh: no such file or directory")}
		}
		from = append(from, pod.Name)
		return connects.answer(out, command)
	}
	for range 2 { // the helper serves the second checkpoint, too
		got, err := e.testProber(t).Probe(t.Context(), []engine.Probe{clientToWeb})
		if err != nil || got[0].Verdict != verdict.Allowed {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	helpers := helperPods(t, api)
	if len(helpers) != 1 || len(from) != 2 || from[0] != helpers[0] || from[1] != helpers[0] {
		t.Errorf("probed from %q; helpers %q", from, helpers)
	}
	if err := e.methods.deleteHelpers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := helperPods(t, api); len(left) > 0 {
		t.Errorf("helpers left: %q", left)
	}
}

// TestNoHelperBehindService: a helper that would get an app's traffic is not created.
func TestNoHelperBehindService(t *testing.T) {
	t.Parallel()
	e, api := probing(t)
	api.Add(`{apiVersion: v1, kind: Service, metadata: {name: all, namespace: default}, spec: {selector: {app: client}, publishNotReadyAddresses: true, ports: [{port: 1}]}}`)
	_, err := e.methods.helper(t.Context(), &e.testProber(t).topology.apps["client"].pods[0])
	if err == nil || !strings.Contains(err.Error(), "service default/all sends traffic to pods that are not ready") {
		t.Errorf("%v", err)
	}
	if left := helperPods(t, api); len(left) > 0 {
		t.Errorf("helpers: %q", left)
	}
}

// TestHelpersOfKilledGrading: Integrity deletes helper pods that an earlier grading left, and no others.
func TestHelpersOfKilledGrading(t *testing.T) {
	t.Parallel()
	e, api := probing(t)
	e.cfg.Instance.Scope.Exclusive = false
	e.cfg.Instance.Scope.Created = []string{"team"}
	e.cfg.Instance.Scope.Namespaces = []string{"default", "team"}
	api.Add(`
{apiVersion: v1, kind: Pod, metadata: {name: left, namespace: team, labels: {app: web}, annotations: {labctl/probes-for: web-1}}, spec: {containers: [{name: probe, image: agnhost}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: of-others, namespace: default, labels: {app: theirs}, annotations: {labctl/probes-for: theirs}}, spec: {containers: [{name: probe, image: agnhost}]}}
`)
	if _, err := e.Integrity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := helperPods(t, api); len(left) != 1 || left[0] != "of-others" {
		t.Errorf("helpers left: %q", left)
	}
}

// helperPods are the names of all helper pods.
func helperPods(t *testing.T, api *kubetest.Server) []string {
	t.Helper()
	pods, err := api.Client.Typed.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range pods.Items {
		if probe.IsHelper(&pods.Items[i]) {
			names = append(names, pods.Items[i].Name)
		}
	}
	return names
}

// sameIdentities prints what an agent does that knows every pod under one identity.
func sameIdentities(t *testing.T, api *kubetest.Server, out io.Writer) error {
	pods, err := api.Client.Typed.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	var cache []string
	for _, pod := range pods.Items {
		cache = append(cache, fmt.Sprintf(`"%s/32": ["identity=12"]`, pod.Status.PodIP))
	}
	_, err = fmt.Fprintf(out, "1\n[]\n--\n\n--\n{%s}\n--\n", strings.Join(cache, ","))
	return err
}
