package policy

import (
	"net/netip"
	"strconv"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// networkPolicy compiles a NetworkPolicy the way Cilium's agent does: one entry a peer, or one a rule
// that names no peer, or one a direction that has no rule.
func (c *compiler) networkPolicy(np *networkingv1.NetworkPolicy) {
	spec := &np.Spec
	typed := func(t networkingv1.PolicyType) bool {
		for _, x := range spec.PolicyTypes {
			if x == t {
				return true
			}
		}
		return false
	}
	// Without policyTypes a policy is one of ingress, and of egress if it has egress rules.
	ingress := typed(networkingv1.PolicyTypeIngress) || len(spec.PolicyTypes) == 0
	egress := typed(networkingv1.PolicyTypeEgress) || len(spec.PolicyTypes) == 0 && len(spec.Egress) > 0
	if c.cfg.Semantics == Cilium {
		// Cilium enforces rules whatever policyTypes says, and takes anything but Egress for Ingress.
		ingress = len(spec.Ingress) > 0 || typed(networkingv1.PolicyTypeIngress) ||
			!typed(networkingv1.PolicyTypeEgress)
		egress = len(spec.Egress) > 0 || typed(networkingv1.PolicyTypeEgress)
	}
	subjectText := inNamespace(slimSelector(&spec.PodSelector), c.obj.Namespace)
	subject := newSelector(subjectText)
	if c.previous != nil && c.previous.subject.Key() == subject.Key() {
		subject = c.previous.subject // so that the entries have it in common
	} else {
		c.previous = nil
	}
	c.policy.subject = subject
	newEntry := func(in bool, path string) *rule {
		return &rule{
			path: path, ingress: in, defaultDeny: true, verdict: types.Allow, tier: types.Normal, subject: subject,
			subjectText: subjectText,
		}
	}
	rule := func(in bool, n int, peers []networkingv1.NetworkPolicyPeer, key string,
		ports []networkingv1.NetworkPolicyPort) {
		if c.reuse(in, peers, ports) {
			return
		}
		path := "spec.egress[" + strconv.Itoa(n) + "]"
		if in {
			path = "spec.ingress[" + strconv.Itoa(n) + "]"
		}
		first := len(c.policy.rules)
		defer func() { c.compiled(in, peers, ports, first) }()
		compiled := c.networkPolicyPorts(path+".ports", ports)
		add := func(e *rule) {
			e.ports, e.allPorts = compiled, len(compiled) == 0
			c.add(e)
		}
		if len(peers) == 0 {
			e := newEntry(in, path)
			e.anyPeer = true
			add(e)
		}
		for i := range peers {
			if e := c.reusePeer(in, n, i, &peers[i], ports); e != nil {
				c.policy.rules = append(c.policy.rules, e)
				continue
			}
			e := newEntry(in, index(path+"."+key, i))
			e.peers = []peer{c.networkPolicyPeer(e.path, &peers[i])}
			add(e)
		}
	}
	if ingress {
		for i := range spec.Ingress {
			rule(true, i, spec.Ingress[i].From, "from", spec.Ingress[i].Ports)
		}
		if len(spec.Ingress) == 0 {
			c.add(newEntry(true, ""))
		}
	}
	if egress {
		for i := range spec.Egress {
			rule(false, i, spec.Egress[i].To, "to", spec.Egress[i].Ports)
		}
		if len(spec.Egress) == 0 {
			c.add(newEntry(false, ""))
		}
	}
}

func (c *compiler) networkPolicyPeer(path string, p *networkingv1.NetworkPolicyPeer) peer {
	if b := p.IPBlock; b != nil {
		out := peer{path: path, kind: peerCIDR, anyone: c.cfg.Semantics == Kubernetes}
		var err error
		if out.prefix, err = parsePrefix(b.CIDR); err != nil {
			c.problem(path+".ipBlock.cidr", "%v", err)
		}
		var except []netip.Prefix
		for i, s := range b.Except {
			prefix, err := parsePrefix(s)
			if err != nil {
				c.problem(index(path+".ipBlock.except", i), "%v", err)
			}
			except = append(except, prefix)
		}
		out.except = newAddresses(except)
		return out
	}
	pods := k8sSelector(slimSelector(p.PodSelector))
	inCluster(pods, c.cfg.ClusterName)
	if p.NamespaceSelector == nil {
		pods.MatchLabels[keyPodNamespace] = c.obj.Namespace
	} else {
		addNamespaceSelector(pods, p.NamespaceSelector)
	}
	return c.labelPeer(path, pods)
}

// labelPeer is a peer selected by labels; with the semantics of Kubernetes it selects nothing but those.
func (c *compiler) labelPeer(path string, text *slimv1.LabelSelector) peer {
	p := labelPeer(path, text)
	p.allPods = p.allPods && c.cfg.Semantics == Cilium
	return p
}

// labelPeer is a peer selected by labels, whose keys say where the labels come from.
func labelPeer(path string, text *slimv1.LabelSelector) peer {
	s := newSelector(text)
	return peer{path: path, kind: peerLabels, selector: s, text: text, allPods: selectsAllPods(s)}
}

func newSelector(text *slimv1.LabelSelector) *types.LabelSelector {
	return types.NewLabelSelector(api.EndpointSelector{LabelSelector: text})
}

func (c *compiler) networkPolicyPorts(path string, ports []networkingv1.NetworkPolicyPort) []port {
	out := make([]port, 0, len(ports))
	for i := range ports {
		p := &ports[i]
		pp := api.PortProtocol{Port: "0", Protocol: api.ProtoTCP}
		if p.Protocol != nil {
			pp.Protocol = api.L4Proto(*p.Protocol)
		}
		if p.Port != nil {
			pp.Port = p.Port.String()
		}
		if p.EndPort != nil {
			pp.EndPort = *p.EndPort
		}
		one, err := parsePort(pp)
		if err != nil {
			c.problem(index(path, i), "%v", err)
		}
		out = append(out, one)
	}
	return out
}

// slimSelector converts a selector to the type that Cilium's rules have.
func slimSelector(s *metav1.LabelSelector) *slimv1.LabelSelector {
	if s == nil {
		return nil
	}
	out := &slimv1.LabelSelector{MatchLabels: s.MatchLabels}
	for _, r := range s.MatchExpressions {
		out.MatchExpressions = append(out.MatchExpressions, slimv1.LabelSelectorRequirement{
			Key: r.Key, Operator: slimv1.LabelSelectorOperator(r.Operator), Values: r.Values,
		})
	}
	return out
}

// Keys of identity labels that have their place in selectors.
const (
	keyPodNamespace    = labels.LabelSourceK8sKeyPrefix + ciliumio.PodNamespaceLabel
	keyCluster         = labels.LabelSourceK8sKeyPrefix + ciliumio.PolicyLabelCluster
	keyNamespaceLabels = labels.LabelSourceK8sKeyPrefix + ciliumio.PodNamespaceMetaLabelsPrefix
)

// k8sSelector returns a new selector with the keys marked as Kubernetes labels; nil selects all.
func k8sSelector(s *slimv1.LabelSelector) *slimv1.LabelSelector {
	if s == nil {
		return &slimv1.LabelSelector{MatchLabels: map[string]string{}}
	}
	out := &slimv1.LabelSelector{MatchLabels: make(map[string]string, len(s.MatchLabels)+2)}
	for k, v := range s.MatchLabels {
		out.MatchLabels[labels.LabelSourceK8sKeyPrefix+k] = v
	}
	for _, r := range s.MatchExpressions {
		r.Key = labels.LabelSourceK8sKeyPrefix + r.Key
		out.MatchExpressions = append(out.MatchExpressions, r)
	}
	return out
}

// inNamespace returns the selector for pods of the namespace only.
func inNamespace(s *slimv1.LabelSelector, namespace string) *slimv1.LabelSelector {
	out := k8sSelector(s)
	out.MatchLabels[keyPodNamespace] = namespace
	return out
}

// inCluster restricts a selector of k8sSelector to the cluster unless it names one itself.
func inCluster(s *slimv1.LabelSelector, cluster string) {
	if s.MatchLabels[keyCluster] != "" {
		return
	}
	for _, r := range s.MatchExpressions {
		if r.Key == keyCluster {
			return
		}
	}
	s.MatchLabels[keyCluster] = cluster
}

// addNamespaceSelector restricts a selector of pods to those in namespaces that s selects. The empty s
// selects the pods of every namespace, and nothing that is not a pod.
func addNamespaceSelector(pods *slimv1.LabelSelector, s *metav1.LabelSelector) {
	for k, v := range s.MatchLabels {
		pods.MatchLabels[keyNamespaceLabels+k] = v
	}
	for _, r := range s.MatchExpressions {
		pods.MatchExpressions = append(pods.MatchExpressions, slimv1.LabelSelectorRequirement{
			Key: keyNamespaceLabels + r.Key, Operator: slimv1.LabelSelectorOperator(r.Operator), Values: r.Values,
		})
	}
	if len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
		pods.MatchExpressions = append(pods.MatchExpressions,
			slimv1.LabelSelectorRequirement{Key: keyPodNamespace, Operator: slimv1.LabelSelectorOpExists})
	}
}

// podsOfNamespaces selects all pods in namespaces that s selects.
func podsOfNamespaces(s *metav1.LabelSelector) *slimv1.LabelSelector {
	pods := k8sSelector(nil)
	addNamespaceSelector(pods, s)
	return pods
}
