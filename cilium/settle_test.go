package cilium

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

const view = `7
[{"Labels":[{"key":"io.cilium.k8s.policy.uid","value":"u1","source":"k8s"},{"key":"io.cilium.k8s.policy.derived-from","value":"CiliumNetworkPolicy"},{"key":"io.cilium.k8s.policy.namespace","value":"red"},{"key":"io.cilium.k8s.policy.name","value":"p"}]}]
--
125	red/web-1	ready	7	12	10.0.0.1	["k8s:app=web","k8s:io.kubernetes.pod.namespace=red","k8s:io.cilium.k8s.namespace.labels.team=red"]
937	/	ready	7	1		["reserved:host"]

--
{"10.0.0.1/32":["identity=12 encryptkey=0"],"0.0.0.0/0":["identity=2 encryptkey=0"]}
--
`

func TestSettled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change Change
		edit   func(*agentView)
		want   string
	}{
		{"all is there", Change{Policies: map[string]string{"u1": "p"}}, nil, ""},
		{"a policy is not there", Change{Policies: map[string]string{"u2": "NetworkPolicy a/b"}}, nil, "agent a on node n has not processed NetworkPolicy a/b (UID u2); its policy revision is 7"},
		{"a policy was recreated, unnoticed", Change{Policies: map[string]string{"u2": "CiliumNetworkPolicy red/p"}}, nil, "agent a on node n has not processed CiliumNetworkPolicy red/p (UID u2) but still has the deleted one of the same name (UID u1): delete it, and reapply it after a few seconds; its policy revision is 7"},
		{"a deleted policy is there", Change{Gone: []string{"u1"}}, nil, "agent a on node n still has CiliumNetworkPolicy red/p (UID u1), which was deleted"},
		{"labels of a namespace that is not concerned", Change{Namespaces: []string{"blue"}, NamespaceLabels: map[string]map[string]string{"red": {"team": "blue"}}}, nil, ""},
		{"a namespace has its labels", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "red"}}}, nil, ""},
		{"a namespace's labels are not there", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "blue"}}}, nil, "agent a on node n: endpoint 125 red/web-1 10.0.0.1 does not have its namespace's new labels yet, its identity is 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := parseView([]byte(view), true)
			if err != nil {
				t.Fatal(err)
			}
			v.name, v.node = "a", "n"
			if tc.edit != nil {
				tc.edit(v)
			}
			if got := v.missing(tc.change); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if v.identities["10.0.0.1"] != 12 {
				t.Errorf("identities: %v", v.identities)
			}
		})
	}
}

// TestHalfAnAnswer: an exec that ended early must not be taken for an agent without policies.
func TestHalfAnAnswer(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"", "7\n[]", "7\n[]\n--\n", "\n[]\n--\nready\n--\n"} {
		if _, err := parseView([]byte(out), false); err == nil {
			t.Errorf("%q was taken for an answer", out)
		}
	}
}

// TestIdentities holds what two agents know of pods' identities against each other.
func TestIdentities(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		known         map[string]int64 // by the second agent
		differ        string
		staleIdentity string
	}{
		{"the same", map[string]int64{"10.0.0.1": 12, "10.0.0.2": 12}, "", ""},
		{"one is not known", map[string]int64{"10.0.0.1": 12}, "agent b on node m does not know 10.0.0.2", ""},
		{"another one", map[string]int64{"10.0.0.1": 12, "10.0.0.2": 13}, "agent b on node m uses identity 13 for 10.0.0.2, but 10.0.0.1 has 12", ""},
		{"an old one", map[string]int64{"10.0.0.1": 11, "10.0.0.2": 11}, "agent b on node m uses identity 11 for 10.0.0.1, but 10.0.0.1 has 12", "agent b on node m still uses the old identity 11 of endpoint 125 red/web-1 10.0.0.1; the new one is 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := parseView([]byte(view), true)
			if err != nil {
				t.Fatal(err)
			}
			a.identities["10.0.0.2"] = 12
			views := []*agentView{a, {name: "b", node: "m", identities: tc.known}}
			if got := identityMismatch(views, "10.0.0.1", "10.0.0.2"); got != tc.differ {
				t.Errorf("got %q, want %q", got, tc.differ)
			}
			all := Change{}
			if got := staleIdentity(views, all.concerns); got != tc.staleIdentity {
				t.Errorf("got %q, want %q", got, tc.staleIdentity)
			}
		})
	}
}

// look is what an agent answers: its revision, the UID of its only policy, and endpoints as "namespace state revision
// identity".
func look(revision int, policy string, endpoints ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", revision)
	if policy == "" {
		b.WriteString("[]")
	} else {
		fmt.Fprintf(&b, `[{"Labels":[{"key":"io.cilium.k8s.policy.uid","value":%q}]}]`, policy)
	}
	b.WriteString("\n--\n")
	for i, e := range endpoints {
		f := strings.Fields(e)
		fmt.Fprintf(&b, "%d\t%s/web\t%s\t%s\t%s\t10.0.0.%d\t[\"k8s:io.kubernetes.pod.namespace=%s\"]\n",
			i, f[0], f[1], f[2], f[3], i, f[0])
	}
	b.WriteString("\n--\n")
	return b.String()
}

// agentThatAnswers is a cluster with one agent, which answers one look after the other, and the last for ever.
func agentThatAnswers(t *testing.T, looks ...string) *kube.Client {
	t.Helper()
	agent := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "a", UID: "1", Labels: map[string]string{"k8s-app": "cilium"}},
		Spec:       corev1.PodSpec{NodeName: "n"},
	}
	var asked atomic.Int32
	client, _ := kubetest.Cluster{
		Objects: []runtime.Object{agent},
		Exec: func(ctx context.Context, _ kube.Pod, _ io.Reader, out, _ io.Writer, _ ...string) (int, error) {
			n := min(int(asked.Add(1)), len(looks)) - 1
			if looks[n] == "hang" {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			_, err := io.Copy(out, bytes.NewBufferString(looks[n]))
			return 0, err
		},
	}.Client(t)
	return client
}

// TestSettle: what is awaited is that each endpoint of the lab has at some time realized the revision in which the
// agent first had the change, whatever else happens in the cluster.
func TestSettle(t *testing.T) {
	t.Parallel()
	change := Change{Policies: map[string]string{"u": "NetworkPolicy red/p"}}
	inRed := Change{Policies: change.Policies, Namespaces: []string{"red"}}
	for _, tc := range []struct {
		name   string
		change Change
		looks  []string
		want   string // of the error
	}{
		{"at once", change, []string{look(7, "u", "red ready 7 12")}, ""},
		{"the policy comes later", change, []string{look(6, "", "red ready 6 12"), look(7, "u", "red ready 6 12"), look(7, "u", "red ready 7 12")}, ""},
		{"an endpoint lags behind", change, []string{look(7, "u", "red ready 6 12")}, "endpoint 0 red/web 10.0.0.0 is ready at policy revision 6 of 7"},
		{"an endpoint regenerates", change, []string{look(7, "u", "red regenerating 7 12")}, "endpoint 0 red/web 10.0.0.0 is regenerating at policy revision 7 of 7"},
		{"later revisions, which are others'", change, []string{look(7, "u", "red ready 6 12"), look(9, "u", "red ready 8 12")}, ""},
		{"never all at once", change, []string{look(7, "u", "red ready 7 12", "red regenerating 6 12"), look(9, "u", "red regenerating 7 12", "red ready 8 12")}, ""},
		{"a new identity is realized again", change, []string{look(7, "u", "red ready 7 12", "red ready 6 12"), look(7, "u", "red regenerating 7 13", "red ready 7 12")}, "is regenerating"},
		{"an agent that starts again", change, []string{look(70, "u", "red ready 70 12", "red ready 69 12"), look(7, "u", "red restoring 0 12", "red ready 7 12")}, "is restoring at policy revision 0 of 7"},
		{"a pod that cannot start", change, []string{look(7, "u", "red ready 7 12", "red waiting-for-identity 0 0")}, ""},
		{"a pod that is deleted", change, []string{look(7, "u", "red ready 7 12", "red disconnecting 3 12")}, ""},
		{"a stranger's pod", inRed, []string{look(7, "u", "red ready 7 12", "blue regenerating 3 14")}, ""},
		{"one of the lab's", inRed, []string{look(7, "u", "red ready 6 12", "blue ready 7 14")}, "red/web 10.0.0.0 is ready at policy revision 6 of 7"},
		{"an agent that never answers", change, []string{"hang"}, "the agents do not answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timeout := 300 * time.Millisecond
			if tc.want == "" {
				timeout = 30 * time.Second
			}
			err := Settle(context.Background(), agentThatAnswers(t, tc.looks...), tc.change, timeout)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("the error is %v, want one with %q", err, tc.want)
			}
		})
	}
}

// TestSettleStops: a wait for the agents ends with its context.
func TestSettleStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := Settle(ctx, agentThatAnswers(t, "hang"), Change{}, time.Minute); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
}
