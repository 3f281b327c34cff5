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

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/kube"
)

// Change is what the agents are to have made of a change in the cluster before it is in force.
type Change struct {
	Policies map[string]string // UID → name, for messages: these are there
	Gone     []string          // UIDs: these are not
	// NamespaceLabels are the labels that namespaces now have: their endpoints carry them, and every agent
	// knows the endpoints under the identities that come with them.
	NamespaceLabels map[string]map[string]string
}

// Settle waits until every agent has taken the change in and every endpoint has realized it: its policy
// revision is the repository's. The error says what is missing.
func Settle(ctx context.Context, client *kube.Client, change Change, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pods, err := agents(ctx, client)
	if err != nil {
		return err
	}
	var last string
	for {
		missing, err := unsettled(ctx, client, pods, change)
		switch {
		case err == nil && missing == "":
			return nil
		case err == nil:
			last = missing
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
			return fmt.Errorf("the change is not in force after %s: %s", timeout, last)
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

// unsettled asks all agents and says what is missing; empty: nothing.
func unsettled(ctx context.Context, client *kube.Client, pods []corev1.Pod, change Change) (string, error) {
	views := make([]*agentView, len(pods))
	group, gctx := errgroup.WithContext(ctx)
	for i := range pods {
		group.Go(func() (err error) {
			views[i], err = viewOf(gctx, client, &pods[i], len(change.NamespaceLabels) > 0)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	for _, v := range views {
		if missing := v.missing(change); missing != "" {
			return missing, nil
		}
	}
	if len(change.NamespaceLabels) == 0 {
		return "", nil
	}
	for _, v := range views {
		for _, e := range v.endpoints {
			for _, other := range views {
				if id, ok := other.identities[e.addr]; e.addr != "" && ok && id != e.identity {
					return fmt.Sprintf("agent %s knows %s by an old identity", other.name, e.addr), nil
				}
			}
		}
	}
	return "", nil
}

// agentView is what an agent has in force.
type agentView struct {
	name       string
	revision   int64
	policies   map[string]bool // UIDs
	endpoints  []agentEndpoint
	identities map[string]int64 // by address, as the datapath sees it
}

type agentEndpoint struct {
	state    string
	revision int64
	identity int64
	addr     string
	labels   []string
}

func (v *agentView) missing(change Change) string {
	for _, uid := range slices.Sorted(maps.Keys(change.Policies)) {
		if !v.policies[uid] {
			return fmt.Sprintf("agent %s has not taken in %s", v.name, change.Policies[uid])
		}
	}
	for _, uid := range change.Gone {
		if v.policies[uid] {
			return fmt.Sprintf("agent %s still has a policy that was deleted", v.name)
		}
	}
	for _, e := range v.endpoints {
		if e.state != "ready" || e.revision < v.revision {
			return fmt.Sprintf("agent %s: endpoint %s is %s at policy revision %d of %d", v.name, e.addr, e.state, e.revision, v.revision)
		}
		if want := change.NamespaceLabels[e.namespace()]; want != nil && !maps.Equal(want, e.namespaceLabels()) {
			return fmt.Sprintf("agent %s: endpoint %s does not have its namespace's new labels yet", v.name, e.addr)
		}
	}
	return ""
}

const (
	podNamespaceLabel    = "k8s:io.kubernetes.pod.namespace="
	namespaceLabelPrefix = "k8s:io.cilium.k8s.namespace.labels."
	policyUIDLabel       = "io.cilium.k8s.policy.uid"
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
cilium-dbg endpoint list -o jsonpath='{range [*]}{.status.state}{"\t"}{.status.policy.realized.policy-revision}{"\t"}{.status.identity.id}{"\t"}{.status.networking.addressing[0].ipv4}{"\t"}{.status.identity.labels}{"\n"}{end}'; printf '\n--\n'
`
	identitiesScript = "cilium-dbg bpf ipcache list -o json; printf '\\n--\\n'\n"
)

func viewOf(ctx context.Context, client *kube.Client, pod *corev1.Pod, identities bool) (*agentView, error) {
	script := viewScript
	if identities {
		script += identitiesScript
	}
	out, err := client.Exec(ctx, kube.Pod{Namespace: Namespace, Name: pod.Name, Container: "cilium-agent"}, nil, "/bin/sh", "-c", script)
	if err != nil {
		return nil, err
	}
	v, err := parseView(out.Stdout, identities)
	if err != nil {
		return nil, fmt.Errorf("ask agent %s what is in force: %w %s", pod.Name, err, bytes.TrimSpace(out.Stderr))
	}
	v.name = pod.Name
	return v, nil
}

func parseView(out []byte, identities bool) (*agentView, error) {
	parts := bytes.Split(out, []byte("\n--\n"))
	want := 3
	if identities {
		want = 4
	}
	if len(parts) != want {
		return nil, fmt.Errorf("it answered %d of %d questions", max(len(parts)-1, 0), want-1)
	}
	v := &agentView{policies: map[string]bool{}, identities: map[string]int64{}}
	number, rest, _ := bytes.Cut(parts[0], []byte("\n"))
	var err error
	if v.revision, err = strconv.ParseInt(string(bytes.TrimSpace(number)), 10, 64); err != nil {
		return nil, fmt.Errorf("policy revision: %w", err)
	}
	var rules []struct {
		Labels []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		}
	}
	if err := json.Unmarshal(rest, &rules); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	for _, rule := range rules {
		for _, l := range rule.Labels {
			if l.Key == policyUIDLabel {
				v.policies[l.Value] = true
			}
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(parts[1]))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 5 {
			continue
		}
		e := agentEndpoint{state: fields[0], addr: fields[3]}
		// An endpoint that is just being made has no numbers yet; it is not ready either.
		e.revision, _ = strconv.ParseInt(fields[1], 10, 64)
		e.identity, _ = strconv.ParseInt(fields[2], 10, 64)
		_ = json.Unmarshal([]byte(fields[4]), &e.labels)
		v.endpoints = append(v.endpoints, e)
	}
	if !identities {
		return v, nil
	}
	var cache map[string][]string
	if err := json.Unmarshal(parts[2], &cache); err != nil {
		return nil, fmt.Errorf("identities: %w", err)
	}
	for prefix, entries := range cache {
		addr, _, _ := strings.Cut(prefix, "/")
		for _, entry := range entries {
			number, _, _ := strings.Cut(strings.TrimPrefix(entry, "identity="), " ")
			if id, err := strconv.ParseInt(number, 10, 64); err == nil {
				v.identities[addr] = id
			}
		}
	}
	return v, nil
}

// ForgetNames makes the agents forget the addresses that names stood for, so that what one checkpoint looked
// up does not open the next one.
func ForgetNames(ctx context.Context, client *kube.Client) error {
	pods, err := agents(ctx, client)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range pods {
		group.Go(func() error {
			out, err := client.Exec(ctx, kube.Pod{Namespace: Namespace, Name: pods[i].Name, Container: "cilium-agent"}, nil, "cilium-dbg", "fqdn", "cache", "clean", "-f")
			if err == nil && out.Code != 0 {
				return fmt.Errorf("forget names in agent %s: %s", pods[i].Name, bytes.TrimSpace(out.Stderr))
			}
			return err
		})
	}
	return group.Wait()
}
