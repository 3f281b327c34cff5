package cilium

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// Change is what the agents are to have made of a change in the cluster before it is in force.
type Change struct {
	Policies map[string]string // UID → name, for messages: these are there
	Gone     []string          // UIDs: these are not
	// NamespaceLabels are the labels that namespaces now have: their endpoints carry them, and every agent
	// knows the endpoints under the identities that come with them.
	NamespaceLabels map[string]map[string]string
	// Namespaces are those whose endpoints have to realize the change; nil: all endpoints of the cluster.
	Namespaces []string
}

// concerns says whether an endpoint has to realize the change. One without an identity sends and receives nothing,
// and realizes whatever is in force then before it does.
func (c *Change) concerns(e *agentEndpoint) bool {
	if e.identity == 0 || e.state == "disconnecting" || e.state == "disconnected" {
		return false
	}
	return c.Namespaces == nil || slices.Contains(c.Namespaces, e.namespace())
}

// Settle waits until every agent has taken the change in, and every endpoint that it concerns has realized it. The
// error says what is missing.
func Settle(ctx context.Context, client *kube.Client, change Change, timeout time.Duration) error {
	names := len(change.NamespaceLabels) > 0
	settling := newSettling(change.concerns)
	return until(ctx, client, timeout, "the change is not in force", names, func(views []*agentView) string {
		for _, v := range views {
			if missing := v.missing(change); missing != "" {
				return missing
			}
			if missing := settling.unrealized(v); missing != "" {
				return missing
			}
		}
		if names {
			return staleIdentity(views, change.concerns)
		}
		return ""
	})
}

// settling remembers what was seen in earlier looks. Revisions only grow, so what was once realized stays so, and
// later changes in the cluster, such as those of others, need not be awaited.
type settling struct {
	concerns func(*agentEndpoint) bool
	targets  map[string]int64 // by agent: its revision in the first look in which it had the whole change
	realized map[string]bool  // endpoints, by agent, target, number and identity
}

func newSettling(concerns func(*agentEndpoint) bool) *settling {
	return &settling{concerns, map[string]int64{}, map[string]bool{}}
}

// unrealized names an endpoint that has not realized what the agent, which has the whole change, had when it was first
// seen to have it; empty: there is none.
func (s *settling) unrealized(v *agentView) string {
	target, seen := s.targets[v.process]
	if !seen || v.revision < target { // a lower one is that of an agent which has started again
		target = v.revision
		s.targets[v.process] = target
	}
	for i := range v.endpoints {
		e := &v.endpoints[i]
		key := fmt.Sprintf("%s %d %s %d", v.process, target, e.id, e.identity)
		if s.realized[key] || !s.concerns(e) {
			continue
		}
		if e.state != "ready" || e.revision < target {
			return fmt.Sprintf("%s: %s is %s at policy revision %d of %d", v, e, e.state, e.revision, target)
		}
		s.realized[key] = true
	}
	return ""
}

// AwaitPolicyRemoval waits until no agent has a policy of these kinds, namespaces and names, as its labels name it. An
// agent that learns at once that a policy of Cilium's own kinds was deleted and that there is another one of its name
// takes that for the old one, and keeps the old one in force: both have the generation 1
// (onUpsert in pkg/policy/k8s/cilium_network_policy.go). So the agents have to drop the old one first.
func AwaitPolicyRemoval(ctx context.Context, client *kube.Client, policies []PolicyName, timeout time.Duration) error {
	if len(policies) == 0 {
		return nil
	}
	return until(ctx, client, timeout, "a policy of the same name is still in force",
		false, func(views []*agentView) string {
			for _, v := range views {
				for uid, name := range v.policies {
					if slices.Contains(policies, name) {
						return fmt.Sprintf("%s still has %s (UID %s)", v, name, uid)
					}
				}
			}
			return ""
		})
}

// SameIdentity waits until every agent uses the same identity for two pods, by their addresses, so that policies
// cannot distinguish them, and until both have realized the policies in force. The error names what differs.
func SameIdentity(ctx context.Context, client *kube.Client, one, other string, timeout time.Duration) error {
	settling := newSettling(func(e *agentEndpoint) bool { return e.addr == one || e.addr == other })
	return until(ctx, client, timeout, fmt.Sprintf("%s and %s do not have the same identity", one, other), true,
		func(views []*agentView) string {
			for _, v := range views {
				if missing := settling.unrealized(v); missing != "" {
					return missing
				}
			}
			return identityMismatch(views, one, other)
		})
}

// until asks all agents what they have in force until nothing is missing any more. failed is what it means that
// something still is when the time is up.
func until(ctx context.Context, client *kube.Client, timeout time.Duration, failed string, identities bool,
	missing func([]*agentView) string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pods, err := agents(ctx, client)
	if err != nil {
		return err
	}
	var last string
	for {
		views, err := viewsOf(ctx, client, pods, identities)
		switch {
		case err == nil:
			if last = missing(views); last == "" {
				return nil
			}
		case ctx.Err() == nil:
			last = err.Error()
		}
		// The look itself takes a fraction of a second: no need to wait on top of it.
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
				return cause
			}
			if last == "" {
				last = "the agents do not answer"
			}
			return fmt.Errorf("%s after %s: %s", failed, timeout, last)
		case <-time.After(20 * time.Millisecond):
		}
		if last == "" {
			continue
		}
		if pods, err = agents(ctx, client); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func viewsOf(ctx context.Context, client *kube.Client, pods []corev1.Pod, identities bool) ([]*agentView, error) {
	views := make([]*agentView, len(pods))
	group, ctx := errgroup.WithContext(ctx)
	for i := range pods {
		group.Go(func() (err error) {
			views[i], err = viewOf(ctx, client, &pods[i], identities)
			return err
		})
	}
	return views, group.Wait()
}

// staleIdentity names an agent that knows another agent's endpoint by an identity that it no longer has.
func staleIdentity(views []*agentView, concerns func(*agentEndpoint) bool) string {
	for _, v := range views {
		for i := range v.endpoints {
			e := &v.endpoints[i]
			if e.addr == "" || !concerns(e) {
				continue
			}
			for _, other := range views {
				if id, ok := other.identities[e.addr]; ok && id != e.identity {
					return fmt.Sprintf("%s still uses the old identity %[3]d of %[2]s; the new one is %[4]d",
						other, e, id, e.identity)
				}
			}
		}
	}
	return ""
}

// identityMismatch says which agent knows two addresses under different identities, or does not know one of them.
func identityMismatch(views []*agentView, one, other string) string {
	for _, v := range views {
		for _, addr := range []string{one, other} {
			id, ok := v.identities[addr]
			if want := views[0].identities[one]; !ok {
				return fmt.Sprintf("%s does not know %s", v, addr)
			} else if id != want {
				return fmt.Sprintf("%s uses identity %[3]d for %[2]s, but %[4]s has %[5]d", v, addr, id, one, want)
			}
		}
	}
	return ""
}

// agentView is what an agent has in force.
type agentView struct {
	name, node string
	process    string // identifies the running agent: one that starts again counts its revisions from 1
	revision   int64
	policies   map[string]PolicyName // by UID
	endpoints  []agentEndpoint
	identities map[string]int64 // by address, as the datapath sees it
}

type agentEndpoint struct {
	id, pod  string // pod is "namespace/name"; empty: none
	state    string
	revision int64
	identity int64
	addr     string
	labels   []string
}

// PolicyName is the name that the agents use for a policy, in addition to its UID.
type PolicyName struct{ Kind, Namespace, Name string }

func (n PolicyName) String() string {
	if n.Namespace == "" {
		return n.Kind + " " + n.Name
	}
	return n.Kind + " " + n.Namespace + "/" + n.Name
}

func (v *agentView) String() string { return "agent " + v.name + " on node " + v.node }

func (e *agentEndpoint) String() string {
	return strings.TrimSpace(fmt.Sprintf("endpoint %s %s %s", e.id, e.pod, e.addr))
}

// missing names what the agent has not taken in of a change.
func (v *agentView) missing(change Change) string {
	for _, uid := range slices.Sorted(maps.Keys(change.Policies)) {
		if _, ok := v.policies[uid]; !ok {
			return fmt.Sprintf("%s has not processed %s (UID %s)%s; its policy revision is %d",
				v, change.Policies[uid], uid, v.olderRevision(change.Policies[uid]), v.revision)
		}
	}
	for _, uid := range change.Gone {
		if name, ok := v.policies[uid]; ok {
			return fmt.Sprintf("%s still has %s (UID %s), which was deleted", v, name, uid)
		}
	}
	for i := range v.endpoints {
		e := &v.endpoints[i]
		want := change.NamespaceLabels[e.namespace()]
		if want != nil && change.concerns(e) && !maps.Equal(want, e.namespaceLabels()) {
			return fmt.Sprintf("%s: %s does not have its namespace's new labels yet, its identity is %d",
				v, e, e.identity)
		}
	}
	return ""
}

// olderRevision says that the agent has an older policy of a name; empty: it has not.
func (v *agentView) olderRevision(name string) string {
	for uid, n := range v.policies {
		if n.String() == name {
			return fmt.Sprintf(" but still has the deleted one of the same name (UID %s): delete it, and reapply it after a few seconds", uid)
		}
	}
	return ""
}

const (
	podNamespaceLabel    = "k8s:io.kubernetes.pod.namespace="
	namespaceLabelPrefix = "k8s:io.cilium.k8s.namespace.labels."
	// Labels of what is in an agent's repository.
	policyUIDLabel       = "io.cilium.k8s.policy.uid"
	policyKindLabel      = "io.cilium.k8s.policy.derived-from"
	policyNamespaceLabel = "io.cilium.k8s.policy.namespace"
	policyNameLabel      = "io.cilium.k8s.policy.name"
)

func (e *agentEndpoint) namespace() string {
	for _, l := range e.labels {
		if ns, ok := strings.CutPrefix(l, podNamespaceLabel); ok {
			return ns
		}
	}
	return ""
}

func (e *agentEndpoint) namespaceLabels() map[string]string {
	out := map[string]string{}
	for _, l := range e.labels {
		if l, ok := strings.CutPrefix(l, namespaceLabelPrefix); ok {
			key, value, _ := strings.Cut(l, "=")
			out[key] = value
		}
	}
	return out
}

// The repository is read before the endpoints, so that what these have realized is compared with no newer revision.
const (
	viewScript = `cilium-dbg policy get -o jsonpath='{.revision}{"\n"}{.policy}'; printf '\n--\n'
cilium-dbg endpoint list -o jsonpath='{range [*]}{.id}{"\t"}{.status.external-identifiers.k8s-namespace}/{.status.external-identifiers.k8s-pod-name}{"\t"}{.status.state}{"\t"}{.status.policy.realized.policy-revision}{"\t"}{.status.identity.id}{"\t"}{.status.networking.addressing[0].ipv4}{"\t"}{.status.identity.labels}{"\n"}{end}'; printf '\n--\n'
`
	identitiesScript = "cilium-dbg bpf ipcache list -o json; printf '\\n--\\n'\n"
)

func viewOf(ctx context.Context, client *kube.Client, pod *corev1.Pod, identities bool) (*agentView, error) {
	script := viewScript
	if identities {
		script += identitiesScript
	}
	out, err := client.Exec(ctx, kube.Pod{Namespace: Namespace, Name: pod.Name, Container: "cilium-agent"}, nil,
		"/bin/sh", "-c", script)
	if err != nil {
		return nil, err
	}
	v, err := parseView(out.Stdout, identities)
	if err != nil {
		return nil, fmt.Errorf("read the policies in force from agent %s: %w %s",
			pod.Name, err, bytes.TrimSpace(out.Stderr))
	}
	v.name, v.node, v.process = pod.Name, pod.Spec.NodeName, string(pod.UID)
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == "cilium-agent" {
			v.process += "/" + c.ContainerID
		}
	}
	return v, nil
}

// parseView reads what the scripts print: results that a line of dashes ends.
func parseView(out []byte, identities bool) (*agentView, error) {
	parts := bytes.Split(out, []byte("\n--\n"))
	want := 3
	if identities {
		want = 4
	}
	if len(parts) != want {
		return nil, fmt.Errorf("it returned %d of %d results", max(len(parts)-1, 0), want-1)
	}
	v := &agentView{}
	var err error
	if v.revision, v.policies, err = parsePolicies(parts[0]); err != nil {
		return nil, err
	}
	v.endpoints = parseEndpoints(parts[1])
	if identities {
		if v.identities, err = parseIdentities(parts[2]); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// parsePolicies reads the revision of the agent's policies, a line, and the policies as JSON.
func parsePolicies(out []byte) (revision int64, policies map[string]PolicyName, err error) {
	number, rest, _ := bytes.Cut(out, []byte("\n"))
	if revision, err = strconv.ParseInt(string(bytes.TrimSpace(number)), 10, 64); err != nil {
		return 0, nil, fmt.Errorf("policy revision: %w", err)
	}
	var rules []struct {
		Labels []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		}
	}
	if err := json.Unmarshal(rest, &rules); err != nil {
		return 0, nil, fmt.Errorf("policies: %w", err)
	}
	policies = map[string]PolicyName{}
	for _, rule := range rules {
		labels := map[string]string{}
		for _, l := range rule.Labels {
			labels[l.Key] = l.Value
		}
		if uid := labels[policyUIDLabel]; uid != "" {
			policies[uid] = PolicyName{labels[policyKindLabel], labels[policyNamespaceLabel], labels[policyNameLabel]}
		}
	}
	return revision, policies, nil
}

// parseEndpoints reads a line of tab-separated fields per endpoint. One that is being created has no numbers and labels
// yet, and is not ready either.
func parseEndpoints(out []byte) []agentEndpoint {
	var endpoints []agentEndpoint
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 7 {
			continue
		}
		e := agentEndpoint{id: fields[0], pod: strings.Trim(fields[1], "/"), state: fields[2], addr: fields[5]}
		e.revision, _ = strconv.ParseInt(fields[3], 10, 64)
		e.identity, _ = strconv.ParseInt(fields[4], 10, 64)
		_ = json.Unmarshal([]byte(fields[6]), &e.labels)
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// parseIdentities reads the agent's IP cache as JSON: the identity of each address.
func parseIdentities(out []byte) (map[string]int64, error) {
	var cache map[string][]string
	if err := json.Unmarshal(out, &cache); err != nil {
		return nil, fmt.Errorf("identities: %w", err)
	}
	identities := map[string]int64{}
	for prefix, entries := range cache {
		addr, _, _ := strings.Cut(prefix, "/")
		for _, entry := range entries {
			number, _, _ := strings.Cut(strings.TrimPrefix(entry, "identity="), " ")
			if id, err := strconv.ParseInt(number, 10, 64); err == nil {
				identities[addr] = id
			}
		}
	}
	return identities, nil
}

// FlushFQDNCache makes the agents forget what names resolved to, so that what one checkpoint looked
// up does not open the next one.
func FlushFQDNCache(ctx context.Context, client *kube.Client) error {
	pods, err := agents(ctx, client)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range pods {
		group.Go(func() error {
			out, err := client.Exec(ctx, kube.Pod{Namespace: Namespace, Name: pods[i].Name, Container: "cilium-agent"},
				nil, "cilium-dbg", "fqdn", "cache", "clean", "-f")
			if err == nil && out.Code != 0 {
				return fmt.Errorf("flush the DNS cache of agent %s: %s", pods[i].Name, bytes.TrimSpace(out.Stderr))
			}
			return err
		})
	}
	return group.Wait()
}
