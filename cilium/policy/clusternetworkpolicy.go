package policy

import (
	"strconv"
	"strings"

	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
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
	subject := newSelector(subjectText)
	newEntry := func(in bool, path string, i int, action policyv1alpha2.ClusterNetworkPolicyRuleAction) *entry {
		e := &entry{
			path: path, ingress: in, tier: tier, priority: float64(spec.Priority) + float64(i)/100,
			subject: subject, subjectText: subjectText, allPorts: true,
		}
		switch action {
		case policyv1alpha2.ClusterNetworkPolicyRuleActionDeny:
			e.verdict = types.Deny
		case policyv1alpha2.ClusterNetworkPolicyRuleActionPass:
			e.verdict = types.Pass
		}
		return e
	}
	// A peer that names nothing fails closed: it allows nothing, and denies everything.
	failClosed := func(e *entry) bool {
		if e.verdict == types.Allow {
			return false
		}
		e.anyPeer, e.verdict = true, types.Deny
		return true
	}
	for i := range spec.Ingress {
		r := &spec.Ingress[i]
		path := "spec.ingress[" + strconv.Itoa(i) + "]"
		ports := clusterPorts(r.Protocols)
		add := func(e *entry) {
			e.ports, e.allPorts = ports, len(r.Protocols) == 0
			c.add(e)
		}
		if len(r.From) == 0 {
			e := newEntry(true, path, i, r.Action)
			e.anyPeer = true
			add(e)
		}
		for j := range r.From {
			from := &r.From[j]
			e := newEntry(true, index(path+".from", j), i, r.Action)
			switch {
			case from.Pods != nil:
				e.peers = []peer{c.podPeer(e.path, from.Pods)}
			case from.Namespaces != nil:
				e.peers = []peer{labelPeer(e.path, podsOfNamespaces(from.Namespaces))}
			case !failClosed(e):
				continue
			}
			add(e)
		}
	}
	for i := range spec.Egress {
		r := &spec.Egress[i]
		path := "spec.egress[" + strconv.Itoa(i) + "]"
		ports := clusterPorts(r.Protocols)
		add := func(e *entry) {
			e.ports, e.allPorts = ports, len(r.Protocols) == 0
			c.add(e)
		}
		if len(r.To) == 0 {
			e := newEntry(false, path, i, r.Action)
			e.anyPeer = true
			add(e)
		}
		for j := range r.To {
			to := &r.To[j]
			e := newEntry(false, index(path+".to", j), i, r.Action)
			switch {
			case to.Pods != nil:
				e.peers = []peer{c.podPeer(e.path, to.Pods)}
			case to.Namespaces != nil:
				e.peers = []peer{labelPeer(e.path, podsOfNamespaces(to.Namespaces))}
			case to.Nodes != nil:
				c.notModelled(e.path+".nodes", "a peer of nodes by their labels (which Cilium leaves off by default)")
			case to.Networks != nil:
				for k, s := range to.Networks {
					at := index(e.path+".networks", k)
					prefix, err := parsePrefix(string(s))
					if err != nil {
						c.problem(at, "%v", err)
					}
					e.peers = append(e.peers, peer{path: at, kind: peerCIDR, prefix: prefix})
				}
			case to.DomainNames != nil:
				if e.verdict != types.Allow {
					c.problem(e.path+".domainNames", "domainNames need the action Accept")
					continue
				}
				c.domainNames(e, to.DomainNames)
			case !failClosed(e):
				continue
			}
			add(e)
		}
	}
}

func (c *compiler) podPeer(path string, p *policyv1alpha2.NamespacedPod) peer {
	pods := namespacedPods(p)
	inCluster(pods, c.cfg.ClusterName)
	return labelPeer(path, pods)
}

func namespacedPods(p *policyv1alpha2.NamespacedPod) *slimv1.LabelSelector {
	pods := k8sSelector(slimSelector(&p.PodSelector))
	addNamespaceSelector(pods, &p.NamespaceSelector)
	return pods
}

// domainNames makes e a rule of names, and adds the rule that lets the names be looked up, as Cilium does:
// at the pods with k8s-app=kube-dns, on their ports dns and dns-tcp.
func (c *compiler) domainNames(e *entry, names []policyv1alpha2.DomainName) {
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
	c.add(&entry{
		path: path, tier: e.tier, priority: e.priority, subject: e.subject, subjectText: e.subjectText,
		peers: []peer{labelPeer(path, &slimv1.LabelSelector{MatchLabels: map[string]string{"any:k8s-app": "kube-dns"}})},
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
				cp.from, cp.to, cp.ranged = uint16(dest.Range.Start), uint16(max(dest.Range.Start, dest.Range.End)), true
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
