package canary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/scope"
)

func TestMain(m *testing.M) {
	enforceTimeout = 50 * time.Millisecond
	os.Exit(m.Run())
}

// network is what a cluster's network does, and what Hubble says about it.
type network struct {
	down, ignoresPolicies bool
	hubble                func(io.Writer) error
}

const agent = `{apiVersion: v1, kind: Pod, metadata: {name: cilium-1, namespace: kube-system, labels: {k8s-app: cilium}}, spec: {containers: [{name: cilium-agent}]}}`

func reportsDrop(out io.Writer) error {
	_, err := io.WriteString(out, `{"flow":{"drop_reason_desc":"POLICY_DENY"}}`+"\n")
	return err
}

// newCanary is a canary in a cluster with that network.
func newCanary(t *testing.T, n network) (*Canary, *kubetest.Server) {
	t.Helper()
	api := kubetest.New(t)
	api.Add(agent)
	c := &Canary{
		Client: api.Client, Scope: &scope.Scope{Instance: "shop.1", Canary: "labctl-canary-1"}, Image: "agnhost",
		FieldManager: kube.FieldManager, Timeout: 5 * time.Second,
	}
	nonce := regexp.MustCompile(`"nonce":"([0-9a-f]{16})"`)
	api.Exec = func(ctx context.Context, pod kube.Pod, _ io.Reader, out, _ io.Writer, command ...string) (int, error) {
		if command[0] == "hubble" {
			return 0, n.hubble(out)
		}
		policy := api.Objects()["NetworkPolicy labctl-canary-1/canary"]
		dropped := policy != "" && !strings.Contains(policy, `"ingress":[{}]`) && !n.ignoresPolicies
		code, text := 0, "ok"
		if dropped || n.down {
			code, text = 28, "curl: (28) Connection timed out"
		}
		id := nonce.FindStringSubmatch(strings.Join(command, " "))[1]
		fmt.Fprintf(out, `{"nonce":%q,"probe":0,"step":"connect","code":%d,"text":%q}`+"\n", id, code, text)
		fmt.Fprintf(out, `{"nonce":%q,"end":true}`+"\n", id)
		return 0, nil
	}
	return c, api
}

// TestProve tries networks of all kinds.
func TestProve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		network network
		want    string // the error; empty: none
		warned  string
	}{
		{"policies are enforced", network{hubble: reportsDrop}, "", ""},
		{"no connection works", network{down: true}, "cannot reach each other with no policy", ""},
		{"policies are ignored", network{ignoresPolicies: true}, "does not enforce policies", ""},
		{"something else drops", network{hubble: func(io.Writer) error { return nil }}, "something other than Cilium", ""},
		{
			"Hubble cannot be read", network{hubble: func(io.Writer) error { return errors.New("no hubble") }},
			"", "cannot read the drop from Hubble: no hubble",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, api := newCanary(t, tc.network)
			var warned []string
			err := c.Prove(t.Context(), func(string) {}, func(text string) { warned = append(warned, text) })
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if got := strings.Join(warned, "\n"); got != tc.warned {
				t.Errorf("warned of %q, want %q", got, tc.warned)
			}
			if left := inNamespace(api); len(left) > 0 {
				t.Errorf("left in the cluster: %q", left)
			}
		})
	}
}

// TestProveAfterKill begins with the deny that a killed run left in force.
func TestProveAfterKill(t *testing.T) {
	t.Parallel()
	c, api := newCanary(t, network{hubble: reportsDrop})
	if _, err := c.Ensure(t.Context(), c.proofPolicy(nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.Prove(t.Context(), func(string) {}, func(text string) { t.Error(text) }); err != nil {
		t.Error(err)
	}
	if left := inNamespace(api); len(left) > 0 {
		t.Errorf("left in the cluster: %q", left)
	}
}

// TestNamespaceOfOthers is not touched.
func TestNamespaceOfOthers(t *testing.T) {
	t.Parallel()
	c, api := newCanary(t, network{})
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: labctl-canary-1}}`)
	api.Intercept = func(method, path string) error { return fmt.Errorf("%s %s", method, path) }
	for name, try := range map[string]func() error{
		"prove": func() error { return c.Prove(t.Context(), func(string) {}, func(string) {}) },
		"grade": func() error { _, err := c.ForGrading(t.Context(), time.Second); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "was not created by this lab") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// TestForGradingKeepsPods: what runs is used again, without a request that changes anything.
func TestForGradingKeepsPods(t *testing.T) {
	t.Parallel()
	c, api := newCanary(t, network{})
	objs := []string{gradingClient, gradingDenied, gradingOpen}
	for _, name := range objs {
		if c.running(t.Context()) != nil {
			t.Errorf("it is complete without %s", name)
		}
		if _, err := c.Ensure(t.Context(), c.server(name)); err != nil {
			t.Fatal(err)
		}
	}
	api.Intercept = func(method, path string) error { return fmt.Errorf("%s %s", method, path) }
	pods, err := c.ForGrading(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{pods.Client.Name, pods.Denied.Name, pods.Open.Name}; !slices.Equal(got, objs) {
		t.Errorf("%q", got)
	}
}

// inNamespace names what is in the canary's namespace, and the namespace.
func inNamespace(api *kubetest.Server) []string {
	var left []string
	for ref := range api.Objects() {
		if strings.Contains(ref, "labctl-canary-1") {
			left = append(left, ref)
		}
	}
	return left
}
