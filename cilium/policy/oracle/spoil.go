package main

import (
	"fmt"
	"strings"
)

// spoil changes a policy so that the API server or Cilium probably refuses it, and says what it did. What
// they really make of it is for them to say: some changes are harmless.
func (g *generator) spoil(c *Case) string {
	obj := pick(g, c.Policies)
	if spec, ok := obj["spec"].(object); ok && g.chance(0.7) {
		if did := g.mistake(kindOf(obj), spec); did != "" {
			return did
		}
	}
	return g.vandalise(obj)
}

// vandalise changes one place of a policy at random.
func (g *generator) vandalise(obj object) string {
	var places [][]any
	for _, p := range paths(obj, nil) {
		if p[0] == "spec" || p[0] == "specs" {
			places = append(places, p)
		}
	}
	if len(places) == 0 {
		return ""
	}
	path := pick(g, places)
	text := fmt.Sprint(path...)
	if i := g.IntN(8); i == 0 {
		remove(obj, path)
		return "deleted " + text
	}
	parent := any(obj)
	for _, key := range path[:len(path)-1] {
		switch p := parent.(type) {
		case object:
			parent = p[key.(string)]
		case []any:
			parent = p[key.(int)]
		}
	}
	set := func(v any) {
		switch p := parent.(type) {
		case object:
			p[path[len(path)-1].(string)] = v
		case []any:
			p[path[len(path)-1].(int)] = v
		}
	}
	values := []any{
		nil, "", "x y", "Tcp", 0, -1, 70000, 80, true, object{}, []any{}, []any{object{}}, object{"a": "b"}, 1.5,
		"10.0.0.0/33", "*",
	}
	if p, ok := parent.(object); ok && g.chance(0.2) {
		p[pick(g, []string{"unknown", "from", "podselector", "ports", "toPorts", "except"})] = pick(g, values)
		return "a field added beside " + text
	}
	v := pick(g, values)
	set(v)
	return fmt.Sprintf("%s set to %v", text, v)
}

// mistake plants what people get wrong in a policy of this kind.
func (g *generator) mistake(kind string, spec object) string {
	type change struct {
		what string
		do   func()
	}
	tcp := func(port any) object { return object{"protocol": "TCP", "port": port} }
	add := func(key string, rule object) func() {
		return func() {
			list, _ := spec[key].([]any)
			spec[key] = append(list, rule)
		}
	}
	ports := func(key string, ports ...any) func() { return add(key, object{"ports": ports}) }
	toPorts := func(key string, rule object) func() { return add(key, object{"toPorts": []any{rule}}) }
	block := func(b object) func() { return add("ingress", object{"from": []any{object{"ipBlock": b}}}) }
	bare := func(v any) []any { return []any{v} }
	var all []change
	switch kind {
	case "NetworkPolicy":
		all = []change{
			{"endPort without port", ports("ingress", object{"endPort": 90})},
			{"endPort below port", ports("ingress", object{"port": 90, "endPort": 80})},
			{"endPort with a named port", ports("egress", object{"port": "http", "endPort": 80})},
			{"port 0", ports("ingress", tcp(0))},
			{"port 65536", ports("ingress", tcp(65536))},
			{"port name in capitals", ports("ingress", tcp("HTTP"))},
			{"port name too long", ports("ingress", tcp("a-very-long-port-name"))},
			{"port number as text", ports("ingress", tcp("80"))},
			{"protocol ICMP", ports("ingress", object{"protocol": "ICMP", "port": 8})},
			{"protocol in small letters", ports("ingress", object{"protocol": "tcp", "port": 80})},
			{"ipBlock with podSelector", add("ingress",
				object{"from": bare(object{"podSelector": object{}, "ipBlock": object{"cidr": "10.0.0.0/8"}})})},
			{"empty peer", add("ingress", object{"from": bare(object{})})},
			{"cidr is an address", block(object{"cidr": "10.0.0.1"})},
			{"cidr with a bad length", block(object{"cidr": "10.0.0.0/33"})},
			{"cidr missing", block(object{"except": bare("10.0.0.0/8")})},
			{"except outside", block(object{"cidr": "10.0.0.0/8", "except": bare("192.168.0.0/16")})},
			{"except is the cidr", block(object{"cidr": "10.0.0.0/8", "except": bare("10.0.0.0/8")})},
			{"except wider", block(object{"cidr": "10.0.0.0/16", "except": bare("10.0.0.0/8")})},
			{"cidr with host bits", block(object{"cidr": "10.0.0.5/8"})},
			{"unknown policy type", func() { spec["policyTypes"] = bare("Both") }},
			{"three policy types", func() { spec["policyTypes"] = []any{"Ingress", "Egress", "Ingress"} }},
			{"operator Equals", func() { spec["podSelector"] = selectorWith("Equals", "a") }},
			{"In without values", func() { spec["podSelector"] = selectorWith("In") }},
			{"Exists with values", func() { spec["podSelector"] = selectorWith("Exists", "a") }},
			{"label value with a space", func() { spec["podSelector"] = object{"matchLabels": object{"app": "a b"}} }},
			{"label key with two slashes", func() {
				spec["podSelector"] = object{"matchLabels": object{"a/b/c": "x"}}
			}},
			{"from in an egress rule", add("egress", object{"from": []any{}})},
			{"peer is a list of labels",
				add("ingress", object{"from": bare(object{"podSelector": object{"app": "web"}})})},
			{"from is no list", add("ingress", object{"from": object{"podSelector": object{}}})},
		}
	case "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy":
		http := object{"http": bare(object{"path": "/"})}
		dns := object{"dns": bare(object{"matchPattern": "*"})}
		all = []change{
			{"fromCIDR is an address", add("ingress", object{"fromCIDR": bare("10.0.0.1")})},
			{"two kinds of peer", add("ingress", object{"fromEndpoints": bare(object{}), "fromEntities": bare("all")})},
			{"two kinds of destination",
				add("egress", object{"toEndpoints": bare(object{}), "toCIDR": bare("10.0.0.0/8")})},
			{"toServices with toEndpoints",
				add("egress", object{
					"toEndpoints": bare(object{}), "toServices": bare(object{"k8sService": object{"serviceName": "a"}}),
				})},
			{"unknown entity", add("ingress", object{"fromEntities": bare("everybody")})},
			{"HTTP over UDP",
				toPorts("ingress", object{"ports": bare(object{"port": "80", "protocol": "UDP"}), "rules": http})},
			{"HTTP without protocol", toPorts("ingress", object{"ports": bare(object{"port": "80"}), "rules": http})},
			{"HTTP on port 0", toPorts("ingress", object{"ports": bare(tcp("0")), "rules": http})},
			{"HTTP without ports", toPorts("ingress", object{"rules": http})},
			{"DNS rules on ingress",
				toPorts("ingress", object{"ports": bare(object{"port": "53", "protocol": "UDP"}), "rules": dns})},
			{"DNS rules without ports", toPorts("egress", object{"rules": dns})},
			{"DNS rules on a range", toPorts("egress",
				object{"ports": bare(object{"port": "53", "endPort": 60, "protocol": "UDP"}), "rules": dns})},
			{"HTTP and DNS rules", toPorts("egress",
				object{"ports": bare(tcp("53")), "rules": object{"http": http["http"], "dns": dns["dns"]}})},
			{"L7 rules in a deny rule", toPorts("ingressDeny", object{"ports": bare(tcp("80")), "rules": http})},
			{"toFQDNs in a deny rule", add("egressDeny", object{"toFQDNs": bare(object{"matchName": "example.com"})})},
			{"icmps with toPorts", add("ingress", object{
				"icmps":   bare(object{"fields": bare(object{"type": 8})}),
				"toPorts": bare(object{"ports": bare(tcp("80"))}),
			})},
			{"unknown ICMP type",
				add("ingress", object{"icmps": bare(object{"fields": bare(object{"type": "Ping"})})})},
			{"ICMP type 300", add("ingress", object{"icmps": bare(object{"fields": bare(object{"type": 300})})})},
			{"ICMPv6 name for IPv4",
				add("ingress", object{"icmps": bare(object{"fields": bare(object{"type": "PacketTooBig"})})})},
			{"port is a number", toPorts("ingress", object{"ports": bare(tcp(80))})},
			{"port 70000", toPorts("ingress", object{"ports": bare(tcp("70000"))})},
			{"port missing", toPorts("ingress", object{"ports": bare(object{"protocol": "TCP"})})},
			{"port in capitals", toPorts("ingress", object{"ports": bare(tcp("HTTP"))})},
			{"endPort below port",
				toPorts("ingress", object{"ports": bare(object{"port": "90", "endPort": 80, "protocol": "TCP"})})},
			{"endPort with a named port",
				toPorts("ingress", object{"ports": bare(object{"port": "http", "endPort": 80, "protocol": "TCP"})})},
			{"protocol in small letters",
				toPorts("ingress", object{"ports": bare(object{"port": "80", "protocol": "tcp"})})},
			{"unknown protocol", toPorts("ingress", object{"ports": bare(object{"port": "80", "protocol": "QUIC"})})},
			{"41 ports", func() {
				var many []any
				for i := range 41 {
					many = append(many, tcp(fmt.Sprint(1000+i)))
				}
				toPorts("ingress", object{"ports": many})()
			}},
			{"bad regular expression", toPorts("ingress",
				object{"ports": bare(tcp("80")), "rules": object{"http": bare(object{"path": "/(a"})}})},
			{"bad method", toPorts("ingress",
				object{"ports": bare(tcp("80")), "rules": object{"http": bare(object{"method": "[GET"})}})},
			{"matchName with a star", add("egress", object{"toFQDNs": bare(object{"matchName": "*.example.com"})})},
			{"matchName and matchPattern",
				add("egress", object{"toFQDNs": bare(object{"matchName": "example.com", "matchPattern": "*"})})},
			{"matchPattern with a space", add("egress", object{"toFQDNs": bare(object{"matchPattern": "a b"})})},
			{"except outside", add("ingress",
				object{"fromCIDRSet": bare(object{"cidr": "10.0.0.0/8", "except": bare("192.168.0.0/16")})})},
			{"cidr and cidrGroupRef",
				add("ingress", object{"fromCIDRSet": bare(object{"cidr": "10.0.0.0/8", "cidrGroupRef": "group-0"})})},
			{"neither cidr nor group",
				add("ingress", object{"fromCIDRSet": bare(object{"except": bare("10.0.0.0/8")})})},
			{"no rules", func() {
				for _, key := range []string{"ingress", "ingressDeny", "egress", "egressDeny"} {
					delete(spec, key)
				}
			}},
			{"no selector", func() { delete(spec, "endpointSelector") }},
			{"two selectors", func() { spec["nodeSelector"] = object{} }},
			{"node selector", func() { delete(spec, "endpointSelector"); spec["nodeSelector"] = object{} }},
			{"unknown field", func() { spec["ingres"] = []any{} }},
			{"podSelector instead of endpointSelector", func() { spec["podSelector"] = object{} }},
			{"operator Equals", func() { spec["endpointSelector"] = selectorWith("Equals", "a") }},
			{"In without values", func() { spec["endpointSelector"] = selectorWith("In") }},
			{"label value with a space", func() {
				spec["endpointSelector"] = object{"matchLabels": object{"app": "a b"}}
			}},
			{"enableDefaultDeny is a boolean", func() { spec["enableDefaultDeny"] = false }},
			{"fromNodes", add("ingress", object{"fromNodes": bare(object{})})},
		}
	case "ClusterNetworkPolicy":
		pods := object{"namespaces": object{}}
		rule := func(key string, peers []any, more object) func() {
			r := object{"action": "Accept", map[string]string{"ingress": "from", "egress": "to"}[key]: peers}
			for k, v := range more {
				r[k] = v
			}
			return add(key, r)
		}
		all = []change{
			{"priority 1001", func() { spec["priority"] = 1001 }},
			{"priority -1", func() { spec["priority"] = -1 }},
			{"no priority", func() { delete(spec, "priority") }},
			{"unknown tier", func() { spec["tier"] = "Normal" }},
			{"no subject", func() { delete(spec, "subject") }},
			{"empty subject", func() { spec["subject"] = object{} }},
			{"two subjects", func() {
				spec["subject"] = object{
					"namespaces": object{}, "pods": object{"namespaceSelector": object{}, "podSelector": object{}},
				}
			}},
			{"no peers", rule("ingress", []any{}, nil)},
			{"an empty peer", rule("ingress", bare(object{}), nil)},
			{"two peers in one",
				rule("egress", bare(object{"namespaces": object{}, "networks": bare("10.0.0.0/8")}), nil)},
			{"networks on ingress", rule("ingress", bare(object{"networks": bare("10.0.0.0/8")}), nil)},
			{"unknown action", rule("ingress", bare(pods), object{"action": "Allow"})},
			{"range upside down",
				rule("ingress", bare(pods),
					object{"protocols": bare(
						object{"tcp": object{"destinationPort": object{"range": object{"start": 90, "end": 80}}}})})},
			{"number and range",
				rule("ingress", bare(pods),
					object{"protocols": bare(object{"tcp": object{"destinationPort": object{
						"number": 80, "range": object{"start": 80, "end": 90},
					}}})})},
			{"empty tcp", rule("ingress", bare(pods), object{"protocols": bare(object{"tcp": object{}})})},
			{"no protocols in the list", rule("ingress", bare(pods), object{"protocols": []any{}})},
			{"deny of a name", rule("egress", bare(object{"domainNames": bare("example.com")}),
				object{"action": "Deny"})},
			{"star in the middle", rule("egress", bare(object{"domainNames": bare("a.*.example.com")}), nil)},
			{"bad network", rule("egress", bare(object{"networks": bare("10.0.0.1")}), nil)},
			{"nodes", rule("egress", bare(object{"nodes": object{}}), nil)},
			{"networks with a named port", rule("egress", bare(object{"networks": bare("10.0.0.0/8")}),
				object{"protocols": bare(object{"destinationNamedPort": "http"})})},
			{"rule name too long", rule("ingress", bare(pods), object{"name": strings.Repeat("x", 101)})},
		}
	}
	if all == nil {
		return ""
	}
	chosen := pick(g, all)
	chosen.do()
	return chosen.what
}

func selectorWith(operator string, values ...any) object {
	expr := object{"key": "app", "operator": operator}
	if values != nil {
		expr["values"] = values
	}
	return object{"matchExpressions": []any{expr}}
}
