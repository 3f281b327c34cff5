package lsp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// effect says what a policy does in a lab if it is the only one: "backend: lets frontend in on 8080; keeps 5 others out".
func effect(ctx context.Context, lab *labs.Lab, eng engine.Engine, state *engine.State, o *manifest.Object) (string, error) {
	only := *state
	only.Policies = []*manifest.Object{o}
	prober, err := eng.At(ctx, &only)
	if err != nil {
		return "", err
	}
	explainer, ok := prober.(engine.Explainer)
	if !ok {
		return "", fmt.Errorf("the %s engine does not explain its verdicts", eng.Name())
	}
	observations, err := explainer.Explain(ctx, direct(lab))
	if err != nil {
		return "", err
	}
	in, out := newTally(), newTally()
	for i := range observations {
		ob := &observations[i]
		from, to := ob.Probe.From.String(), peerName(ob.Probe.To)
		if side := sideOf(ob.Detail, func(r *policy.Result) *policy.Side { return r.Ingress }); side != nil {
			in.count(to, from, &ob.Probe.To, side)
		}
		if side := sideOf(ob.Detail, func(r *policy.Result) *policy.Side { return r.Egress }); side != nil {
			out.count(from, to, &ob.Probe.To, side)
		}
	}
	var parts []string
	if len(in.selected) > 0 {
		parts = append(parts, in.describe("lets %s in", "keeps %s out", "nobody", "everybody"))
	}
	if len(out.selected) > 0 {
		parts = append(parts, out.describe("can reach %s", "cannot reach %s", "nothing", "everything"))
	}
	if len(parts) == 0 {
		return "affects no connection of the lab", nil
	}
	return strings.Join(parts, "; "), nil
}

// direct are the connections of a lab without those that need DNS first: whether a name resolves is the business of
// other policies.
func direct(lab *labs.Lab) []engine.Probe {
	return slices.DeleteFunc(engine.Connections(lab), func(p engine.Probe) bool { return engine.LooksUpName(p.To) && p.To.DNS == "" })
}

// sideOf is one side of a result, of the first endpoint if there are several.
func sideOf(r *policy.Result, of func(*policy.Result) *policy.Side) *policy.Side {
	switch {
	case r == nil:
		return nil
	case of(r) != nil:
		return of(r)
	case len(r.Backends) > 0:
		return sideOf(&r.Backends[0], of)
	}
	return nil
}

func peerName(t labs.Target) string {
	switch {
	case t.App != "":
		return t.App
	case t.External != "":
		return t.External
	case t.DNS != "":
		return "DNS"
	}
	return t.String()
}

// tally counts what a policy lets through in one direction.
type tally struct {
	selected []string            // apps that the policy isolates
	peers    []string            // of them
	ports    map[string][]string // that each peer is let through on
}

func newTally() *tally { return &tally{ports: map[string][]string{}} }

// count notes a connection of an app with a peer, if the policy isolates the app.
func (t *tally) count(app, peer string, to *labs.Target, side *policy.Side) {
	if side.Decision == policy.ByDefault || side.Decision == policy.ByHost {
		return
	}
	if !slices.Contains(t.selected, app) {
		t.selected = append(t.selected, app)
	}
	if !slices.Contains(t.peers, peer) {
		t.peers = append(t.peers, peer)
	}
	port := strconv.Itoa(to.Port)
	if to.Protocol != "" && to.Protocol != "TCP" {
		port += "/" + to.Protocol
	}
	if side.Verdict == verdict.Allowed && !slices.Contains(t.ports[peer], port) {
		t.ports[peer] = append(t.ports[peer], port)
	}
}

// maxListed is how many names a code lens lists.
const maxListed = 4

// describe says who is let through on which ports, and how many are not. The words are those of the direction.
func (t *tally) describe(lets, keeps, none, all string) string {
	var groups []string              // ports
	members := map[string][]string{} // peers by ports
	refused := 0
	for _, peer := range t.peers {
		if len(t.ports[peer]) == 0 {
			refused++
			continue
		}
		slices.SortFunc(t.ports[peer], comparePorts)
		on := wording.And(t.ports[peer])
		if peer == "DNS" {
			on = "" // its port says nothing
		}
		if members[on] == nil {
			groups = append(groups, on)
		}
		members[on] = append(members[on], peer)
	}
	text := listed(t.selected) + ": "
	switch {
	case len(groups) == 0:
		return text + fmt.Sprintf(lets, none)
	case refused == 0 && len(groups) == 1 && len(t.peers) > 1:
		return text + fmt.Sprintf(lets, all)
	}
	var parts []string
	for _, on := range groups {
		part := listed(members[on])
		if on != "" && strings.HasSuffix(lets, " in") {
			parts = append(parts, fmt.Sprintf(lets, part)+" on "+on)
			continue
		}
		if on != "" {
			part += " on " + on
		}
		parts = append(parts, fmt.Sprintf(lets, part))
	}
	if refused > 0 {
		parts = append(parts, fmt.Sprintf(keeps, wording.Count(refused, "other")))
	}
	return text + strings.Join(parts, "; ")
}

// comparePorts orders ports by number.
func comparePorts(a, b string) int {
	number := func(s string) int {
		n, _ := strconv.Atoi(strings.SplitN(s, "/", 2)[0])
		return n
	}
	return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b))
}

// listed lists a few names, and counts the others.
func listed(names []string) string {
	if len(names) <= maxListed {
		return wording.And(names)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed-1], ", "), len(names)-maxListed+1)
}
