package main

import (
	"fmt"
	"strconv"
)

// policies draws the policies of a case: mostly NetworkPolicy and CiliumNetworkPolicy, as in life.
func (g *generator) policies() []object {
	var out []object
	for i := range g.IntN(3) {
		if g.chance(0.5) {
			out = append(out, g.cidrGroup(i))
		}
	}
	priorities := g.Perm(8)
	for i := range 2 + g.IntN(6) {
		name := fmt.Sprintf("p%d", i)
		switch g.weighted(36, 36, 14, 14) {
		case 0:
			out = append(out, g.networkPolicy(name))
		case 1:
			out = append(out, g.ciliumPolicy(name, false))
		case 2:
			out = append(out, g.ciliumPolicy(name, true))
		case 3:
			priority := priorities[i]
			if g.chance(0.1) {
				priority = 1 // the same as another's
			}
			out = append(out, g.clusterPolicy(name, priority))
		}
	}
	if len(out) > 1 && g.chance(0.03) { // applied again under the same name: the later one counts
		last := out[len(out)-1]
		for _, other := range out[:len(out)-1] {
			if kindOf(other) == kindOf(last) {
				last["metadata"] = cloneValue(other["metadata"])
			}
		}
	}
	return out
}

// policyNamespace is mostly one that has pods.
func (g *generator) policyNamespace() string {
	if g.chance(0.93) {
		return pick(g, g.c.userPods()).namespace
	}
	return pick(g, g.c.namespaces).name
}

// Selectors

func (g *generator) podSelector() object { return g.selector(podLabelKeys, podLabels, "") }

func (g *generator) namespaceSelector() object {
	if g.chance(0.3) {
		return object{"matchLabels": object{"kubernetes.io/metadata.name": pick(g, g.c.namespaces).name}}
	}
	return g.selector(nsLabelKeys, nsLabels, "")
}

// selector draws a LabelSelector. The prefix goes before every key: Cilium's "k8s:" or "any:".
func (g *generator) selector(keys []string, values map[string][]string, prefix string) object {
	switch g.weighted(3, 9, 3, 6, 1) {
	case 0:
		return object{}
	case 1:
		key := pick(g, keys)
		return object{"matchLabels": object{prefix + key: pick(g, values[key])}}
	case 2:
		labels := object{}
		for _, key := range some(g, keys, 2) {
			labels[prefix+key] = pick(g, values[key])
		}
		return object{"matchLabels": labels}
	case 3:
		var exprs []any
		for _, key := range some(g, keys, 1+g.weighted(3, 1)) {
			exprs = append(exprs, g.requirement(prefix+key, values[key]))
		}
		out := object{"matchExpressions": exprs}
		if g.chance(0.2) {
			key := pick(g, keys)
			out["matchLabels"] = object{prefix + key: pick(g, values[key])}
		}
		return out
	default:
		odd := pick(g, oddLabels)
		if g.chance(0.3) {
			return object{"matchExpressions": []any{object{
				"key": odd.key, "operator": pick(g, []string{"Exists", "DoesNotExist"}),
			}}}
		}
		return object{"matchLabels": object{odd.key: odd.value}}
	}
}

func (g *generator) requirement(key string, values []string) object {
	switch g.IntN(4) {
	case 0:
		return object{"key": key, "operator": "In", "values": list(some(g, values, 1+g.IntN(2)))}
	case 1:
		return object{"key": key, "operator": "NotIn", "values": list(some(g, values, 1+g.IntN(2)))}
	case 2:
		return object{"key": key, "operator": "Exists"}
	default:
		return object{"key": key, "operator": "DoesNotExist"}
	}
}

// NetworkPolicy

func (g *generator) networkPolicy(name string) object {
	ns := g.policyNamespace()
	spec := object{}
	if !g.chance(0.05) { // missing is {}
		spec["podSelector"] = g.podSelector()
		if g.chance(0.25) {
			spec["podSelector"] = object{}
		}
	}
	switch g.weighted(3, 4, 4, 4, 1) {
	case 1:
		spec["policyTypes"] = []any{"Ingress"}
	case 2:
		spec["policyTypes"] = []any{"Egress"}
	case 3:
		spec["policyTypes"] = []any{"Ingress", "Egress"}
	case 4:
		spec["policyTypes"] = []any{}
	}
	if rules, ok := g.networkRules("from"); ok {
		spec["ingress"] = rules
	}
	if g.chance(0.65) {
		if rules, ok := g.networkRules("to"); ok {
			spec["egress"] = rules
		}
	}
	return object{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta(ns, name, nil), "spec": spec,
	}
}

func (g *generator) networkRules(peers string) ([]any, bool) {
	rules := []any{}
	switch g.weighted(2, 1, 12) {
	case 0:
		return nil, false
	case 1:
		return rules, true
	}
	for range 1 + g.weighted(5, 3, 1) {
		rule := object{}
		switch g.weighted(2, 1, 10) {
		case 1:
			rule[peers] = []any{}
		case 2:
			var from []any
			for range 1 + g.weighted(5, 3, 1) {
				from = append(from, g.networkPeer())
			}
			rule[peers] = from
		}
		switch g.weighted(5, 1, 6) {
		case 1:
			rule["ports"] = []any{}
		case 2:
			var ports []any
			for range 1 + g.weighted(5, 3, 1) {
				ports = append(ports, g.networkPort())
			}
			rule["ports"] = ports
		}
		rules = append(rules, rule)
	}
	return rules, true
}

func (g *generator) networkPeer() object {
	switch g.weighted(5, 4, 5, 4) {
	case 0:
		return object{"podSelector": g.podSelector()}
	case 1:
		return object{"namespaceSelector": g.namespaceSelector()}
	case 2:
		return object{"podSelector": g.podSelector(), "namespaceSelector": g.namespaceSelector()}
	default:
		block := g.cidrRule(true)
		return object{"ipBlock": block}
	}
}

func (g *generator) networkPort() object {
	port := object{}
	if g.chance(0.6) {
		port["protocol"] = []string{"TCP", "UDP", "SCTP"}[g.weighted(6, 3, 1)]
	}
	switch g.weighted(2, 8, 4, 4) {
	case 1:
		port["port"] = g.number()
	case 2:
		port["port"] = g.portName()
	case 3:
		low := g.number()
		port["port"] = low
		port["endPort"] = low + pick(g, []int{0, 1, 5, 10, 1000})
	}
	return port
}

// cidrRule draws a block with exceptions inside it. The API server wants an ipBlock's exceptions
// strictly inside the block; Cilium also takes the block itself.
func (g *generator) cidrRule(strict bool) object {
	pool := cidrsV4
	if g.c.dual && g.chance(0.35) {
		pool = cidrsV6
	}
	cidr := g.cidr(pool)
	out := object{"cidr": cidr}
	if g.chance(0.5) {
		var except []any
		for _, other := range some(g, pool, len(pool)) {
			if within(other, cidr) && (other != cidr || !strict && g.chance(0.3)) && len(except) < 2 && g.chance(0.6) {
				except = append(except, other)
			}
		}
		if except != nil {
			out["except"] = except
		}
	}
	return out
}

// cidr draws from the pool, or the address of a pod: which no CIDR ever selects.
func (g *generator) cidr(pool []string) string {
	if g.chance(0.1) {
		for _, ip := range pick(g, g.c.pods).ips { // a workload's pods have none
			if isV4(ip) == isV4(pool[0]) {
				if isV4(ip) {
					return ip + "/32"
				}
				return ip + "/128"
			}
		}
	}
	return pick(g, pool)
}

// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy

func (g *generator) ciliumPolicy(name string, clusterwide bool) object {
	kind, ns := "CiliumNetworkPolicy", g.policyNamespace()
	if clusterwide {
		kind, ns = "CiliumClusterwideNetworkPolicy", ""
	}
	out := object{"apiVersion": "cilium.io/v2", "kind": kind, "metadata": meta(ns, name, nil)}
	switch g.weighted(8, 2, 1) {
	case 0:
		out["spec"] = g.ciliumRule(clusterwide)
	case 1:
		specs := []any{}
		for range 1 + g.IntN(2) {
			specs = append(specs, g.ciliumRule(clusterwide))
		}
		out["specs"] = specs
	default:
		out["spec"] = g.ciliumRule(clusterwide)
		out["specs"] = []any{g.ciliumRule(clusterwide)}
	}
	return out
}

func (g *generator) ciliumRule(clusterwide bool) object {
	rule := object{}
	if clusterwide && g.chance(0.05) {
		rule["nodeSelector"] = object{"matchLabels": object{"kubernetes.io/os": "linux"}}
		rule["ingress"] = []any{object{"fromEntities": []any{"cluster"}}}
		return rule
	}
	rule["endpointSelector"] = g.subjectSelector()
	for rule["ingress"] == nil && rule["ingressDeny"] == nil && rule["egress"] == nil && rule["egressDeny"] == nil {
		if g.chance(0.55) {
			rule["ingress"] = g.ciliumRules(g.ciliumIngress)
		}
		if g.chance(0.2) {
			rule["ingressDeny"] = g.ciliumRules(func() object { return g.deny(g.ciliumIngress()) })
		}
		if g.chance(0.45) {
			rule["egress"] = g.ciliumRules(g.ciliumEgress)
		}
		if g.chance(0.2) {
			rule["egressDeny"] = g.ciliumRules(func() object { return g.deny(g.ciliumEgress()) })
		}
	}
	if g.chance(0.12) { // as the documentation shows it: a rule that lets names be looked up, and one for the names
		egress, _ := rule["egress"].([]any)
		names := object{"toFQDNs": g.fqdns()}
		if g.chance(0.5) {
			g.ports(names, true)
		}
		rule["egress"] = append(egress, g.dnsRule(), names)
	}
	if g.chance(0.12) { // and an API of which some requests are open
		ingress, _ := rule["ingress"].([]any)
		api := object{"toPorts": []any{g.httpRule()}}
		if g.chance(0.4) {
			api["fromEndpoints"] = g.endpoints()
		}
		rule["ingress"] = append(ingress, api)
	}
	if g.chance(0.25) {
		posture := object{}
		if g.chance(0.7) {
			posture["ingress"] = g.chance(0.3)
		}
		if g.chance(0.7) {
			posture["egress"] = g.chance(0.3)
		}
		rule["enableDefaultDeny"] = posture
	}
	if g.chance(0.1) {
		rule["description"] = "drawn"
	}
	return rule
}

func (g *generator) subjectSelector() object {
	if g.chance(0.35) {
		return object{}
	}
	return g.endpointSelector()
}

// endpointSelector is a selector as Cilium reads it: keys may name their source, the namespace, the
// namespace's labels, the service account or a reserved identity.
func (g *generator) endpointSelector() object {
	prefix := []string{"", "k8s:", "any:"}[g.weighted(12, 3, 1)]
	out := g.selector(podLabelKeys, podLabels, prefix)
	labels, _ := out["matchLabels"].(object)
	if labels == nil {
		labels = object{}
	}
	switch g.weighted(14, 4, 2, 1, 1, 1) {
	case 1:
		labels[pick(g, []string{"", "k8s:"})+"io.kubernetes.pod.namespace"] = pick(g, g.c.namespaces).name
	case 2:
		key := pick(g, nsLabelKeys)
		labels[pick(g, []string{"", "k8s:"})+"io.cilium.k8s.namespace.labels."+key] = pick(g, nsLabels[key])
	case 3:
		labels["io.cilium.k8s.policy.serviceaccount"] = pick(g, []string{"robot", "default"})
	case 4:
		labels["io.cilium.k8s.policy.cluster"] = pick(g, []string{"default", "other"})
	case 5:
		exprs, _ := out["matchExpressions"].([]any)
		out["matchExpressions"] = append(exprs,
			object{"key": "io.kubernetes.pod.namespace", "operator": pick(g, []string{"Exists", "NotIn", "In"})})
		last := out["matchExpressions"].([]any)[len(exprs)].(object)
		if last["operator"] != "Exists" {
			last["values"] = []any{pick(g, g.c.namespaces).name}
		}
	}
	if len(labels) > 0 {
		out["matchLabels"] = labels
	}
	return out
}

func (g *generator) peerSelector() object {
	if g.chance(0.04) {
		return object{"matchLabels": object{"reserved:" +
			pick(g, []string{"host", "remote-node", "world", "kube-apiserver"}): ""}}
	}
	return g.endpointSelector()
}

func (g *generator) ciliumRules(one func() object) []any {
	rules := []any{}
	if g.chance(0.04) {
		return []any{object{}} // selects nobody, isolates
	}
	for range 1 + g.weighted(5, 3, 1) {
		rules = append(rules, one())
	}
	return rules
}

var entities = []string{
	"all", "world", "cluster", "host", "remote-node", "kube-apiserver", "init", "unmanaged", "health", "none",
	"cluster-mesh", "ingress",
}

func (g *generator) entities() []any {
	n := 1 + g.weighted(4, 1)
	var out []any
	for range n {
		out = append(out, entities[g.weighted(3, 5, 5, 5, 4, 3, 1, 1, 1, 1, 1, 1)])
	}
	return out
}

func (g *generator) endpoints() []any {
	switch g.weighted(1, 1, 14) {
	case 0:
		return []any{}
	case 1:
		return []any{object{}}
	}
	var out []any
	for range 1 + g.weighted(4, 2) {
		out = append(out, g.peerSelector())
	}
	return out
}

func (g *generator) cidrs() []any {
	pool := cidrsV4
	if g.c.dual && g.chance(0.35) {
		pool = cidrsV6
	}
	var out []any
	for range 1 + g.IntN(2) {
		cidr := g.cidr(pool)
		out = append(out, cidr)
	}
	return out
}

func (g *generator) cidrSet() []any {
	var out []any
	for range 1 + g.IntN(2) {
		switch g.weighted(6, 2, 1) {
		case 0:
			out = append(out, g.cidrRule(false))
		case 1:
			ref := object{"cidrGroupRef": pick(g, []string{"group-0", "group-1", "group-9"})}
			if g.chance(0.3) {
				ref["except"] = []any{pick(g, cidrsV4[2:])}
			}
			out = append(out, ref)
		default:
			out = append(out,
				object{"cidrGroupSelector": object{"matchLabels": object{"zone": pick(g, []string{"a", "b"})}}})
		}
	}
	return out
}

func (g *generator) cidrGroup(i int) object {
	labels := map[string]string{}
	if g.chance(0.7) {
		labels["zone"] = pick(g, []string{"a", "b"})
	}
	return object{"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
		"metadata": meta("", fmt.Sprintf("group-%d", i), labels),
		"spec":     object{"externalCIDRs": list(some(g, cidrsV4[2:], 1+g.IntN(3)))}}
}

func (g *generator) ciliumIngress() object {
	rule := object{}
	switch g.weighted(3, 9, 5, 2, 3) {
	case 1:
		rule["fromEndpoints"] = g.endpoints()
	case 2:
		rule["fromEntities"] = g.entities()
	case 3:
		rule["fromCIDR"] = g.cidrs()
	case 4:
		rule["fromCIDRSet"] = g.cidrSet()
	}
	g.ports(rule, false)
	return rule
}

func (g *generator) ciliumEgress() object {
	rule := object{}
	switch g.weighted(3, 9, 5, 2, 3, 3, 3, 3) {
	case 1:
		rule["toEndpoints"] = g.endpoints()
	case 2:
		rule["toEntities"] = g.entities()
	case 3:
		rule["toCIDR"] = g.cidrs()
	case 4:
		rule["toCIDRSet"] = g.cidrSet()
	case 5:
		rule["toServices"] = g.toServices()
	case 6:
		rule["toFQDNs"] = g.fqdns()
	case 7:
		return g.dnsRule()
	}
	g.ports(rule, true)
	return rule
}

func (g *generator) fqdns() []any {
	var out []any
	for range 1 + g.IntN(2) {
		out = append(out, g.fqdn())
	}
	return out
}

func (g *generator) fqdn() object {
	if g.chance(0.55) {
		return object{"matchName": pick(g, dnsNames)}
	}
	return object{"matchPattern": pick(g, []string{
		"*.example.com", "*.example.org", "*", "a*.example.com", "**.example.com", "example.*", "*.*.example.com",
	})}
}

// dnsRule is the rule that teaches names.
func (g *generator) dnsRule() object {
	var names []any
	for range 1 + g.IntN(2) {
		names = append(names, g.fqdn())
	}
	protocol := []string{"UDP", "ANY", "TCP"}[g.weighted(5, 5, 1)]
	rule := object{
		"toPorts": []any{object{
			"ports": []any{object{"port": "53", "protocol": protocol}},
			"rules": object{"dns": names},
		}},
	}
	switch g.weighted(8, 2, 1) {
	case 0:
		rule["toEndpoints"] = []any{object{"matchLabels": object{
			"io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns",
		}}}
	case 1:
		rule["toEntities"] = []any{"cluster"}
	}
	return rule
}

func (g *generator) toServices() []any {
	svc := pick(g, g.c.services)
	if g.chance(0.6) {
		ref := object{"serviceName": svc.name}
		if g.chance(0.8) {
			ref["namespace"] = svc.namespace
		}
		return []any{object{"k8sService": ref}}
	}
	sel := object{"selector": object{"matchLabels": object{"app": pick(g, podLabels["app"])}}}
	if g.chance(0.5) {
		sel["namespace"] = svc.namespace
	}
	return []any{object{"k8sServiceSelector": sel}}
}

// ports adds toPorts or icmps to a rule of a CNP.
func (g *generator) ports(rule object, egress bool) {
	switch g.weighted(5, 9, 2, 1) {
	case 1:
		var out []any
		for range 1 + g.weighted(5, 2) {
			out = append(out, g.portRule(egress))
		}
		rule["toPorts"] = out
	case 2:
		var fields []any
		for range 1 + g.IntN(2) {
			fields = append(fields, g.icmpField())
		}
		rule["icmps"] = []any{object{"fields": fields}}
	case 3:
		rule["toPorts"] = []any{}
	}
}

func (g *generator) icmpField() object {
	if g.c.dual && g.chance(0.4) {
		return object{"family": "IPv6", "type": pick(g, []any{128, 129, "EchoRequest", 1})}
	}
	field := object{"type": pick(g, []any{8, 0, "EchoRequest", 3, "DestinationUnreachable"})}
	if g.chance(0.5) {
		field["family"] = "IPv4"
	}
	return field
}

func (g *generator) portRule(egress bool) object {
	switch {
	case g.chance(0.28):
		return g.httpRule()
	case g.chance(0.04):
		return object{
			"ports":       []any{object{"port": "443", "protocol": "TCP"}},
			"serverNames": list(some(g, serverNames, 1+g.IntN(2))),
		}
	}
	var ports []any
	for range 1 + g.weighted(4, 2) {
		port := object{}
		switch g.weighted(10, 4, 4, 1) {
		case 0:
			port["port"] = strconv.Itoa(g.number())
		case 1:
			port["port"] = g.portName()
		case 2:
			low := g.number()
			port["port"] = strconv.Itoa(low)
			port["endPort"] = low + pick(g, []int{0, 1, 5, 10, 1000})
		default:
			port["port"] = "0"
		}
		if g.chance(0.8) {
			port["protocol"] = []string{"TCP", "UDP", "SCTP", "ANY"}[g.weighted(8, 3, 1, 4)]
		}
		ports = append(ports, port)
	}
	return object{"ports": ports}
}

var serverNames = []string{"example.com", "*.example.com", "**.example.com", "api.example.com", "*", "Shop.Example.com"}

func (g *generator) httpRule() object {
	var ports []any
	for range 1 + g.weighted(6, 1) {
		port := object{"protocol": "TCP", "port": pick(g, []string{"80", "8080", "80", "8080", "http", "web"})}
		if g.chance(0.08) {
			port["port"], port["endPort"] = "8080", 8090
		}
		ports = append(ports, port)
	}
	rules := []any{}
	for range 1 + g.weighted(4, 2) {
		rule := object{}
		if g.chance(0.6) {
			rule["method"] = pick(g, []string{"GET", "POST", "GET|HEAD", "PUT"})
		}
		if g.chance(0.7) {
			rule["path"] = pick(g, []string{"/", "/public", "/public/.*", "/v[12]/.*", "/admin"})
		}
		if g.chance(0.2) {
			rule["host"] = pick(g, []string{"shop.example.com", ".*\\.example\\.com"})
		}
		if g.chance(0.2) {
			rule["headers"] = []any{pick(g, []string{"X-Token: abc", "X-Token abc", "X-Token"})}
		}
		if g.chance(0.1) {
			match := object{"name": "X-Token", "value": "abc"}
			if g.chance(0.4) {
				match["mismatch"] = pick(g, []string{"LOG", "ADD", "DELETE", "REPLACE"})
			}
			rule["headerMatches"] = []any{match}
		}
		rules = append(rules, rule)
	}
	return object{"ports": ports, "rules": object{"http": rules}}
}

// deny turns an allow rule into a deny rule: no L7 rules and no FQDNs there.
func (g *generator) deny(rule object) object {
	delete(rule, "toFQDNs")
	if g.chance(0.95) { // Cilium does not resolve these
		delete(rule, "toServices")
	}
	if ports, ok := rule["toPorts"].([]any); ok {
		for _, p := range ports {
			delete(p.(object), "rules")
			delete(p.(object), "serverNames")
		}
	}
	return rule
}

// ClusterNetworkPolicy

func (g *generator) clusterPolicy(name string, priority int) object {
	spec := object{
		"tier": []string{"Admin", "Baseline"}[g.weighted(6, 4)], "priority": priority, "subject": g.clusterPeer(),
	}
	for spec["ingress"] == nil && spec["egress"] == nil {
		if g.chance(0.6) {
			spec["ingress"] = g.clusterRules("from", g.clusterPeer)
		}
		if g.chance(0.6) {
			spec["egress"] = g.clusterRules("to", g.clusterEgressPeer)
		}
	}
	return object{
		"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
		"metadata": meta("", name, nil), "spec": spec,
	}
}

func (g *generator) clusterPeer() object {
	if g.chance(0.5) {
		return object{"namespaces": g.namespaceSelector()}
	}
	return object{"pods": object{"namespaceSelector": g.namespaceSelector(), "podSelector": g.podSelector()}}
}

func (g *generator) clusterEgressPeer() object {
	switch g.weighted(8, 3, 1) {
	case 1:
		pool := cidrsV4
		if g.c.dual && g.chance(0.35) {
			pool = cidrsV6
		}
		return object{"networks": list(some(g, pool, 1+g.IntN(2)))}
	case 2:
		return object{"domainNames": list(some(g,
			[]string{"example.com", "*.example.com", "api.example.com", "*.example.org"}, 1+g.IntN(2)))}
	}
	return g.clusterPeer()
}

func (g *generator) clusterRules(peers string, peer func() object) []any {
	var rules []any
	for i := range 1 + g.weighted(3, 3, 2) {
		rule := object{"name": fmt.Sprintf("r%d", i), "action": []string{"Accept", "Deny", "Pass"}[g.weighted(4, 4, 3)]}
		var list []any
		special := false // peers without named ports
		for range 1 + g.weighted(4, 2) {
			p := peer()
			if p["domainNames"] != nil {
				rule["action"] = "Accept"
			}
			special = special || p["domainNames"] != nil || p["networks"] != nil
			list = append(list, p)
		}
		rule[peers] = list
		if g.chance(0.6) {
			var protocols []any
			for range 1 + g.weighted(4, 2) {
				protocols = append(protocols, g.clusterProtocol(!special))
			}
			rule["protocols"] = protocols
		}
		rules = append(rules, rule)
	}
	return rules
}

func (g *generator) clusterProtocol(named bool) object {
	if named && g.chance(0.2) {
		return object{"destinationNamedPort": g.portName()}
	}
	port := object{"number": g.number()}
	if g.chance(0.3) {
		low := g.number()
		port = object{"range": object{"start": low, "end": low + pick(g, []int{1, 5, 10, 1000})}}
	}
	return object{[]string{"tcp", "udp", "sctp"}[g.weighted(6, 3, 1)]: object{"destinationPort": port}}
}
