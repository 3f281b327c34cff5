package live

import (
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/policy/manifest/manifesttest"
)

const (
	group = `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: mine}, spec: {externalCIDRs: [192.0.2.0/24]}}`
	other = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: other, namespace: team}, spec: {podSelector: {}}}`
)

// TestEnforceOrder: policies that are gone are deleted before others come, what policies refer to comes before them, and what
// is in force already is left as it is.
func TestEnforceOrder(t *testing.T) {
	t.Parallel()
	e, api := sharedEngine(t, false)
	if _, err := e.enforce(t.Context(), stateOf(t, answer)); err != nil {
		t.Fatal(err)
	}
	kept := api.Objects()["NetworkPolicy team/answer"]
	var requests []string
	api.Intercept = func(method, path string) error {
		if strings.Contains(path, "polic") || strings.Contains(path, "cidrgroups") {
			requests = append(requests, method+" "+path[strings.LastIndex(path, "/")+1:])
		}
		return nil
	}
	change, err := e.enforce(t.Context(), stateOf(t, strings.Join([]string{answer, other, group}, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"PATCH mine", "PATCH other"}; !slices.Equal(requests, want) {
		t.Errorf("the requests were %q, want %q", requests, want)
	}
	if now := api.Objects()["NetworkPolicy team/answer"]; now != kept {
		t.Errorf("what was in force changed from %s to %s", kept, now)
	}
	// The agents list policies, and not what policies refer to.
	if len(change.Policies) != 2 || len(change.Gone) != 0 {
		t.Errorf("the change is %+v", change)
	}
	requests = nil
	changedAnswer := strings.Replace(answer, "{podSelector: {}}", "{podSelector: {matchLabels: {app: web}}}", 1)
	change, err = e.enforce(t.Context(), stateOf(t, changedAnswer))
	if err != nil {
		t.Fatal(err)
	}
	last := requests[len(requests)-1]
	slices.Sort(requests)
	if want := []string{"DELETE answer", "DELETE mine", "DELETE other", "PATCH answer"}; !slices.Equal(requests, want) || last != "PATCH answer" {
		t.Errorf("the requests were %q, want %q", requests, want)
	}
	if len(change.Policies) != 1 || len(change.Gone) != 3 {
		t.Errorf("the change is %+v", change)
	}
}

// TestApplyOrder: what does not isolate by itself comes first, whatever the order of the submission.
func TestApplyOrder(t *testing.T) {
	t.Parallel()
	var objs []*manifest.Object
	for _, kind := range manifest.PolicyKinds() {
		objs = append(objs, stateOf(t, manifesttest.Policies(t)[kind.Name]).Policies...)
	}
	for range objs {
		objs = append(objs[1:], objs[0])
		isolates := false
		for _, o := range inOrder(objs) {
			if isolates && !manifest.Isolates(o.Kind) {
				t.Errorf("%s is applied after a policy", o.Kind)
			}
			isolates = isolates || manifest.Isolates(o.Kind)
		}
	}
}

// TestEnforceErrors: what the API server rejects is the submission's, with its file and line, and the other policies are tried,
// too. Any other error is the cluster's: nobody loses points for it.
func TestEnforceErrors(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "networking.k8s.io", Resource: "networkpolicies"}
	for _, tc := range []struct {
		name     string
		answer   error
		students bool
	}{
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "NetworkPolicy"}, "answer", nil), true},
		{"forbidden by a webhook", apierrors.NewForbidden(resource, "answer", errors.New("no")), true},
		{"a bad request", apierrors.NewBadRequest("unknown field"), true},
		{"the server is down", apierrors.NewServiceUnavailable("etcd"), false},
		{"a conflict", apierrors.NewConflict(resource, "answer", errors.New("two at a time")), false},
		{"an internal error", apierrors.NewInternalError(errors.New("disk full")), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, api := sharedEngine(t, false)
			api.Intercept = func(method, path string) error {
				if method == "PATCH" && strings.HasSuffix(path, "/answer") {
					return tc.answer
				}
				return nil
			}
			_, err := e.enforce(t.Context(), stateOf(t, answer+"\n---\n"+other))
			var problems manifest.Problems
			if errors.As(err, &problems) != tc.students || err == nil {
				t.Fatalf("the error is %v", err)
			}
			if !tc.students {
				return
			}
			if len(problems) != 1 || problems[0].File != "a.yaml" || problems[0].Line == 0 || !strings.Contains(problems[0].Object, "answer") {
				t.Errorf("the problems are %+v", problems)
			}
			if api.Objects()["NetworkPolicy team/other"] == "" {
				t.Error("the other policy was not applied")
			}
			// The rejected one is not taken to be in force.
			api.Intercept = nil
			if _, err := e.enforce(t.Context(), stateOf(t, answer)); err != nil || api.Objects()["NetworkPolicy team/answer"] == "" {
				t.Errorf("the next grading does not apply it: %v", err)
			}
		})
	}
}

// TestLooksUpNames: after policies with rules by name, the agents have to forget what names resolved to.
func TestLooksUpNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		answer: false,
		`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x, annotations: {about: toFQDNs}}, spec: {endpointSelector: {}, egress: [{}]}}`:  false,
		`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x}, specs: [{endpointSelector: {}, egress: [{toFQDNs: [{matchName: a.org}]}]}]}`: true,
		`{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: x}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}},
  egress: [{action: Accept, to: [{domainNames: [a.org]}]}]}}`: true,
	} {
		state := stateOf(t, text)
		if got := looksUpNames(state.Policies[0]); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
