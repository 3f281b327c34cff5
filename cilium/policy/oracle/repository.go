package main

import (
	"fmt"
	"strconv"

	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/proxy/accesslog"
	ciliumtypes "github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"
)

// ruleLabel is the label that says which entry of which policy a verdict came from.
const ruleLabel = "oracle-rule"

var translator = envoypolicy.NewEnvoyL7RulesTranslator(discard, certificatemanager.NewMockSecretManagerInline())

// full is Cilium's policy engine with one case loaded. Cilium numbers selectors with an unsynchronised
// package variable: there is one full at a time in a process.
type full struct {
	*world
	repo    *policy.Repository
	entries []ruleInfo
}

// ruleInfo is an entry of a policy with where it comes from.
type ruleInfo struct {
	object object
	entry  *types.PolicyEntry
}

// names implements what the selector cache tells about FQDN selectors; the world labels addresses itself.
type names struct{}

func (names) RegisterFQDNSelector(api.FQDNSelector) uint64   { return 0 }
func (names) UnregisterFQDNSelector(api.FQDNSelector) uint64 { return 0 }

// GetNamedPorts implements policy.NamedPortsGetter.
func (w *world) GetNamedPorts() ciliumtypes.NamedPortMultiMap { return w.named }

// newFull loads a case. An error that is errRefused says that Cilium does not take a policy.
func newFull(c *Case) (*full, error) {
	if err := setUp(); err != nil {
		return nil, err
	}
	w, err := newWorld(c)
	if err != nil {
		return nil, err
	}
	policies, err := w.load(c.Policies)
	if err != nil {
		return nil, err
	}
	w.learnSelectors(policies)
	if err := w.allocate(c); err != nil {
		return nil, err
	}
	f := &full{world: w}
	f.repo = policy.NewPolicyRepository(discard, w.ids, nil, translator, identitymanager.NewIDManager(discard), nil)
	f.repo.SetNamedPortsGetter(w)
	f.repo.GetSelectorCache().SetLocalIdentityNotifier(names{})
	f.repo.UpdateIdentities(w.ids, nil)
	for _, l := range policies {
		for _, e := range l.entries {
			// The labels only serve to say which rules decided, so they can be ours.
			e.Labels = labels.LabelArray{labels.NewLabel(ruleLabel, strconv.Itoa(len(f.entries)),
				labels.LabelSourceUnspec)}
			f.entries = append(f.entries, ruleInfo{l.object, e})
		}
		f.repo.ReplaceByResource(l.entries, l.resource)
	}
	for i, p := range w.pods {
		if p.id == nil {
			continue
		}
		p.endpoint, err = f.newEndpoint(uint64(i+1), p)
		if err != nil {
			return nil, fmt.Errorf("policy of %s: %w", p.ref, err)
		}
	}
	return f, nil
}

// rules are the entries that a verdict came from.
func (f *full) rules(meta policy.RuleMeta) []ruleInfo {
	var out []ruleInfo
	for _, array := range meta.LabelArray() {
		for _, l := range array {
			if i, err := strconv.Atoi(l.Value); err == nil && l.Key == ruleLabel {
				out = append(out, f.entries[i])
			}
		}
	}
	return out
}

// endpoint is a pod's realized policy: the map that the datapath looks verdicts up in, and what the
// proxies were told.
type endpoint struct {
	id     uint64
	pod    *podState
	policy *policy.EndpointPolicy
	proxies
}

func (f *full) newEndpoint(id uint64, p *podState) (*endpoint, error) {
	e := &endpoint{id: id, pod: p}
	selPolicy, _, err := f.repo.ComputeSelectorPolicy(p.id)
	if err != nil {
		return nil, err
	}
	redirects := e.redirects(selPolicy)
	e.policy = selPolicy.DistillPolicy(discard, e, redirects)
	e.program(selPolicy, e.policy.SelectorPolicy.IngressPolicyEnabled, e.policy.SelectorPolicy.EgressPolicyEnabled,
		&e.policy.SelectorPolicy.L4Policy)
	return e, nil
}

// What the engine asks of an endpoint.

func (e *endpoint) GetID() uint64 { return e.id }
func (e *endpoint) IsHost() bool  { return false }
func (e *endpoint) GetIngressNamedPort(name string, proto u8proto.U8proto) uint16 {
	port, _ := e.pod.ports.GetNamedPort(name, proto)
	return port
}
func (e *endpoint) PolicyDebug(string, ...any)                         {}
func (e *endpoint) PreviousMapStateSizes() (none policy.MapStateSizes) { return none }
func (e *endpoint) GetPolicyNames() []string                           { return nil }
func (e *endpoint) GetIPv4Address() string                             { return "" }
func (e *endpoint) GetIPv6Address() string                             { return "" }
func (e *endpoint) OnProxyPolicyUpdate(uint64)                         {}
func (e *endpoint) GetListenerProxyPort(string) uint16                 { return 0 }
func (e *endpoint) UpdateProxyStatistics(string, string, uint16, uint16, bool, bool, accesslog.FlowVerdict) {
}
func (e *endpoint) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}

// Outcomes of one side of a connection.
const (
	allowed  = "allowed"
	dropped  = "dropped"
	appError = "app_error"
)

// Decisions, named as in labctl's output.
const (
	byAllow       = "allow"
	byDeny        = "deny"
	byDefaultDeny = "default-deny"
	byDefault     = "not-isolated"
	byL7          = "l7"
)

// side is the outcome of one direction at one endpoint.
type side struct {
	verdict  string
	decision string
	rules    []ruleInfo
	// redirect is the proxy that the connection was sent to, if any.
	redirect redirect
}

// judge looks a connection up, as the datapath would, and asks the proxy it is redirected to.
func (f *full) judge(e *endpoint, ingress bool, peer identity.NumericIdentity, proto u8proto.U8proto, port uint16,
	p *Probe) side {
	key := policy.EgressKey()
	if ingress {
		key = policy.IngressKey()
	}
	entry, meta, found := e.policy.Lookup(key.WithIdentity(peer).WithPortProtoPrefix(proto, port, 16))
	out := side{verdict: allowed, decision: byAllow, rules: f.rules(meta)}
	switch {
	case !found:
		out.verdict, out.decision = dropped, byDefaultDeny
	case entry.IsDeny() && len(out.rules) == 0: // the deny that Cilium puts last where a rule passes
		out.verdict, out.decision = dropped, byDefaultDeny
	case entry.IsDeny():
		out.verdict, out.decision = dropped, byDeny
	case len(out.rules) == 0:
		out.decision = byDefault
	case entry.ProxyPort != 0:
		out.redirect = redirect(entry.ProxyPort)
		if !e.passes(out.redirect, ingress, peer, proto, port, p) {
			out.verdict, out.decision = appError, byL7
		}
	}
	return out
}
