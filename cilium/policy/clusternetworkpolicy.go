package policy

import (
	"strings"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// clusterNetworkPolicy compiles a ClusterNetworkPolicy the way Cilium's agent does: the admin tier comes
// before all network policies, the baseline tier after them, and the rules of a policy in their order.
func (c *compiler) clusterNetworkPolicy(v *policyv1alpha2.ClusterNetworkPolicy) {
	spec := &v.Spec
	tier := types.Admin
	if spec.Tier == policyv1alpha2.BaselineTier {
		tier = types.Baseline
	}
	var subjectText *slimv1.LabelSelector
	switch {
	case spec.Subject.Namespaces != nil:
		subjectText = podsOfNamespaces(spec.Subject.Namespaces)
	case spec.Subject.Pods != nil:
		subjectText = namespacedPods(spec.Subject.Pods)
	default:
		c.problem("spec.subject", "the policy selects neither namespaces nor pods")
		return
	}
	p := clusterPolicy{
		c: c, tier: tier, priority: float64(spec.Priority), subject: newSelector(subjectText), subjectText: subjectText,
	}
	for i := range spec.Ingress {
		r := &spec.Ingress[i]
		peers := make([]policyv1alpha2.ClusterNetworkPolicyEgressPeer, len(r.From))
		for j, from := range r.From {
			peers[j].Pods, peers[j].Namespaces = from.Pods, from.Namespaces
		}
		p.rule(true, index("spec.ingress", i), ".from", i, r.Action, r.Protocols, peers)
	}
	for i := range spec.Egress {
		r := &spec.Egress[i]
		p.rule(false, index("spec.egress", i), ".to", i, r.Action, r.Protocols, r.To)
	}
}

// clusterPolicy is what the rules of a ClusterNetworkPolicy have in common.
type clusterPolicy struct {
	c           *compiler
	tier        types.Tier
	priority    float64
	subject     *types.LabelSelector
	subjectText *slimv1.LabelSelector
}

// rule compiles the n-th rule of a direction: each of its peers becomes a rule of Cilium's. The peers of an ingress
// rule are those of an egress rule that have pods or namespaces only.
func (p *clusterPolicy) rule(ingress bool, path, field string, n int,
	action policyv1alpha2.ClusterNetworkPolicyRuleAction,
	protocols []policyv1alpha2.ClusterNetworkPolicyProtocol, peers []policyv1alpha2.ClusterNetworkPolicyEgressPeer) {
	ports := clusterPorts(protocols)
	newRule := func(path string) *rule {
		r := &rule{
			path: path, ingress: ingress, tier: p.tier, priority: p.priority + float64(n)/100,
			subject: p.subject, subjectText: p.subjectText, ports: ports, allPorts: len(protocols) == 0,
		}
		switch action {
		case policyv1alpha2.ClusterNetworkPolicyRuleActionDeny:
			r.verdict = types.Deny
		case policyv1alpha2.ClusterNetworkPolicyRuleActionPass:
			r.verdict = types.Pass
		}
		return r
	}
	if len(peers) == 0 {
		r := newRule(path)
		r.anyPeer = true
		p.c.add(r)
	}
	for i := range peers {
		r := newRule(index(path+field, i))
		if p.peer(r, &peers[i]) {
			p.c.add(r)
		}
	}
}

// peer gives a rule its peer; false: the rule allows nothing.
func (p *clusterPolicy) peer(r *rule, to *policyv1alpha2.ClusterNetworkPolicyEgressPeer) bool {
	c := p.c
	switch {
	case to.Pods != nil:
		r.peers = []peer{c.podPeer(r.path, to.Pods)}
	case to.Namespaces != nil:
		r.peers = []peer{c.namespacePeer(r.path, to.Namespaces)}
	case to.Nodes != nil:
		c.notModelled(r.path+".nodes", "a peer of nodes by their labels (which Cilium leaves off by default)")
	case to.Networks != nil:
		for i, s := range to.Networks {
			at := index(r.path+".networks", i)
			prefix, err := parsePrefix(string(s))
			if err != nil {
				c.problem(at, "%v", err)
			}
			// By the text of the API a network selects pods and nodes, too.
			r.peers = append(r.peers, peer{
				path: at, kind: peerCIDR, prefix: prefix, anyone: c.cfg.Semantics == Kubernetes,
			})
		}
	case to.DomainNames != nil:
		if r.verdict != types.Allow {
			c.problem(r.path+".domainNames", "domainNames need the action Accept")
			return false
		}
		c.domainNames(r, to.DomainNames)
	default:
		// A peer that names nothing fails closed: it allows nothing, and denies everything.
		if r.verdict == types.Allow {
			return false
		}
		r.anyPeer, r.verdict = true, types.Deny
	}
	return true
}

// namespacePeer selects the pods of namespaces. What Cilium's selector takes in beside them (see allPods, and
// what has no labels of a namespace at all) is not in the text of the API.
func (c *compiler) namespacePeer(path string, s *metav1.LabelSelector) peer {
	pods := podsOfNamespaces(s)
	if c.cfg.Semantics == Kubernetes {
		inCluster(pods, c.cfg.ClusterName)
	}
	return c.labelPeer(path, pods)
}

func (c *compiler) podPeer(path string, p *policyv1alpha2.NamespacedPod) peer {
	pods := namespacedPods(p)
	inCluster(pods, c.cfg.ClusterName)
	return c.labelPeer(path, pods)
}

func namespacedPods(p *policyv1alpha2.NamespacedPod) *slimv1.LabelSelector {
	pods := k8sSelector(slimSelector(&p.PodSelector))
	addNamespaceSelector(pods, &p.NamespaceSelector)
	return pods
}

// domainNames makes e a rule of names, and adds the rule that lets the names be looked up, as Cilium does:
// at the pods with k8s-app=kube-dns, on their ports dns and dns-tcp.
func (c *compiler) domainNames(e *rule, names []policyv1alpha2.DomainName) {
	look := &l7{}
	for i, name := range names {
		at := index(e.path+".domainNames", i)
		s := api.FQDNSelector{MatchName: string(name)}
		if strings.HasPrefix(string(name), "*") {
			// "*.example.com" means every subdomain here, which Cilium writes with two stars.
			s = api.FQDNSelector{MatchPattern: string(name)}
			if !strings.HasPrefix(string(name), "**") {
				s.MatchPattern = "*" + string(name)
			}
		}
		rule, err := newDNSRule(s)
		if err != nil {
			c.problem(at, "%v", err)
			continue
		}
		look.dns = append(look.dns, rule)
		e.peers = append(e.peers, peer{path: at, kind: peerFQDN, fqdn: rule.re, pattern: string(name)})
	}
	path := e.path + ".domainNames"
	c.add(&rule{
		path: path, tier: e.tier, priority: e.priority, subject: e.subject, subjectText: e.subjectText,
		peers: []peer{c.labelPeer(path,
			&slimv1.LabelSelector{MatchLabels: map[string]string{"any:k8s-app": "kube-dns"}})},
		ports: []port{{name: "dns", l7: look}, {name: "dns-tcp", l7: look}},
	})
}

func clusterPorts(protocols []policyv1alpha2.ClusterNetworkPolicyProtocol) []port {
	var out []port
	for i := range protocols {
		p := &protocols[i]
		one := func(protocol string, dest *policyv1alpha2.Port) {
			cp := port{protocol: protocol}
			switch {
			case dest == nil:
			case dest.Range != nil:
				cp.from, cp.to, cp.ranged = uint16(dest.Range.Start),
					uint16(max(dest.Range.Start, dest.Range.End)), true
			default:
				cp.from, cp.to = uint16(dest.Number), uint16(dest.Number)
			}
			out = append(out, cp)
		}
		switch {
		case p.TCP != nil:
			one(protoTCP, p.TCP.DestinationPort)
		case p.UDP != nil:
			one(protoUDP, p.UDP.DestinationPort)
		case p.SCTP != nil:
			one(protoSCTP, p.SCTP.DestinationPort)
		case p.DestinationNamedPort != "":
			out = append(out, port{name: p.DestinationNamedPort})
		default:
			out = append(out, port{}) // no protocol named: TCP, UDP and SCTP
		}
	}
	return out
}
