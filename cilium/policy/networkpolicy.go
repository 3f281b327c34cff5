package policy

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
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
		ingress = len(spec.Ingress) > 0 || typed(networkingv1.PolicyTypeIngress) || !typed(networkingv1.PolicyTypeEgress)
		egress = len(spec.Egress) > 0 || typed(networkingv1.PolicyTypeEgress)
	}
	subjectText := inNamespace(slimSelector(&spec.PodSelector), c.obj.Namespace)
	subject := types.NewLabelSelector(api.NewESFromK8sLabelSelector("", subjectText))
	newEntry := func(in bool, path string) *entry {
		return &entry{path: path, ingress: in, defaultDeny: true, verdict: types.Allow, tier: types.Normal, subject: subject, subjectText: subjectText}
	}
	rule := func(in bool, path string, peers []networkingv1.NetworkPolicyPeer, key string, ports []networkingv1.NetworkPolicyPort) {
		compiled := c.networkPolicyPorts(path+".ports", ports)
		add := func(e *entry) {
			e.ports, e.allPorts = compiled, len(compiled) == 0
			c.add(e)
		}
		if len(peers) == 0 {
			e := newEntry(in, path)
			e.anyPeer = true
			add(e)
		}
		for i := range peers {
			e := newEntry(in, index(path+"."+key, i))
			e.peers = []peer{c.networkPolicyPeer(e.path, &peers[i])}
			add(e)
		}
	}
	if ingress {
		for i := range spec.Ingress {
			rule(true, "spec.ingress["+strconv.Itoa(i)+"]", spec.Ingress[i].From, "from", spec.Ingress[i].Ports)
		}
		if len(spec.Ingress) == 0 {
			c.add(newEntry(true, ""))
		}
	}
	if egress {
		for i := range spec.Egress {
			rule(false, "spec.egress["+strconv.Itoa(i)+"]", spec.Egress[i].To, "to", spec.Egress[i].Ports)
		}
		if len(spec.Egress) == 0 {
			c.add(newEntry(false, ""))
		}
	}
}

func (c *compiler) networkPolicyPeer(path string, p *networkingv1.NetworkPolicyPeer) peer {
	if b := p.IPBlock; b != nil {
		out := peer{path: path, kind: peerCIDR, prefix: c.prefix(path+".ipBlock.cidr", b.CIDR), anyone: c.cfg.Semantics == Kubernetes}
		for i, s := range b.Except {
			out.except = append(out.except, c.prefix(index(path+".ipBlock.except", i), s))
		}
		return out
	}
	pods := slimSelector(p.PodSelector)
	if pods == nil {
		pods = &slimv1.LabelSelector{}
	}
	pods = inCluster(pods, c.cfg.ClusterName)
	if p.NamespaceSelector == nil {
		return labelPeer(path, inNamespace(pods, c.obj.Namespace))
	}
	return labelPeer(path, namespaceSelector(p.NamespaceSelector), k8sSelector(pods))
}

// labelPeer is a peer selected by labels; several selectors must all match.
func labelPeer(path string, selectors ...*slimv1.LabelSelector) peer {
	es := api.NewESFromK8sLabelSelector(labels.LabelSourceK8sKeyPrefix, selectors...)
	s := types.NewLabelSelector(es)
	return peer{path: path, kind: peerLabels, selector: s, text: es.LabelSelector, allPods: selectsAllPods(s)}
}

func (c *compiler) networkPolicyPorts(path string, ports []networkingv1.NetworkPolicyPort) []port {
	out := make([]port, 0, len(ports))
	for i := range ports {
		p := &ports[i]
		pp := api.PortProtocol{Port: "0", Protocol: api.ProtoTCP}
		if p.Protocol != nil {
			pp.Protocol = api.L4Proto(*p.Protocol)
		}
		switch corev1.Protocol(pp.Protocol) {
		case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		default:
			c.problem(index(path, i)+".protocol", "%q is not a protocol of network policies", pp.Protocol)
		}
		if p.Port != nil {
			pp.Port = p.Port.String()
		}
		if p.EndPort != nil {
			pp.EndPort = *p.EndPort
		}
		out = append(out, c.portOf(index(path, i), pp))
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

// with returns the selector with one more label to match.
func with(s *slimv1.LabelSelector, key, value string) *slimv1.LabelSelector {
	out := &slimv1.LabelSelector{MatchLabels: make(map[string]string, len(s.MatchLabels)+2), MatchExpressions: s.MatchExpressions}
	for k, v := range s.MatchLabels {
		out.MatchLabels[k] = v
	}
	out.MatchLabels[key] = value
	return out
}

// k8sSelector returns the selector with its keys marked as Kubernetes labels.
func k8sSelector(s *slimv1.LabelSelector) *slimv1.LabelSelector {
	return api.NewESFromK8sLabelSelector(labels.LabelSourceK8sKeyPrefix, s).LabelSelector
}

// inNamespace restricts a pod selector to the namespace, and marks its keys as Kubernetes labels.
func inNamespace(s *slimv1.LabelSelector, namespace string) *slimv1.LabelSelector {
	return k8sSelector(with(s, ciliumio.PodNamespaceLabel, namespace))
}

// inCluster restricts a pod selector to the cluster unless it names one itself.
func inCluster(s *slimv1.LabelSelector, cluster string) *slimv1.LabelSelector {
	if s.MatchLabels[ciliumio.PolicyLabelCluster] != "" {
		return s
	}
	for _, r := range s.MatchExpressions {
		if r.Key == ciliumio.PolicyLabelCluster {
			return s
		}
	}
	return with(s, ciliumio.PolicyLabelCluster, cluster)
}

// namespaceSelector turns a selector of namespaces into one of their pods. The empty one selects the pods
// of every namespace, and nothing that is not a pod.
func namespaceSelector(s *metav1.LabelSelector) *slimv1.LabelSelector {
	out := &slimv1.LabelSelector{MatchLabels: make(map[string]string, len(s.MatchLabels))}
	for k, v := range s.MatchLabels {
		out.MatchLabels[ciliumio.PodNamespaceMetaLabelsPrefix+k] = v
	}
	for _, r := range s.MatchExpressions {
		out.MatchExpressions = append(out.MatchExpressions, slimv1.LabelSelectorRequirement{
			Key: ciliumio.PodNamespaceMetaLabelsPrefix + r.Key, Operator: slimv1.LabelSelectorOperator(r.Operator), Values: r.Values,
		})
	}
	if len(out.MatchLabels) == 0 && len(out.MatchExpressions) == 0 {
		out.MatchExpressions = []slimv1.LabelSelectorRequirement{{Key: ciliumio.PodNamespaceLabel, Operator: slimv1.LabelSelectorOpExists}}
	}
	return out
}
