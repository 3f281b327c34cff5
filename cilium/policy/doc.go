// Package policy is the offline engine: Cilium's own rule model together with an evaluator that says,
// for a cluster and the policies in force, what happens to a connection and which rule decided it.
//
// It sends no packet and needs no cluster. The model of the rules is Cilium's code (pkg/policy/api,
// pkg/policy/types and their parsers); the nested module oracle compares the evaluator with Cilium's
// full engine. What the model cannot express is refused by name, never guessed.
//
// [NewCluster] takes the objects of a cluster, [Compile] one policy, and [New] puts compiled policies in
// force. An [Engine] then evaluates probes ([Engine.Evaluate]), says why nothing let them through
// ([Engine.Explain]), and proves that nothing can connect at all ([Engine.Prove]). Clusters and policies
// are immutable, an engine is safe for concurrent use, and making one is cheap.
//
// # What is modelled
//
// Policies: NetworkPolicy, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy (spec and specs, allow and
// deny rules, enableDefaultDeny), ClusterNetworkPolicy v1alpha2 (tiers, priorities, Accept, Deny, Pass,
// networks, domainNames) and CiliumCIDRGroup (by name and by label). Peers by labels, namespaces, service
// accounts, entities, address ranges with exceptions, toServices and toFQDNs. TCP, UDP, SCTP, ICMP and
// ICMPv6, port ranges and named ports. HTTP rules (method, path, host, headers), DNS rules, and TLS
// server names. Of policies with the same kind, namespace and name the last one given counts.
//
// Clusters: pods of Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet and Job, as far as their status lets them
// take part; Services with a cluster address, headless, of type ExternalName, with selectors, EndpointSlices or
// Endpoints, and named target ports; default/kubernetes; Nodes; Namespaces. IPv4 and IPv6. A service's address is
// translated before policies see it. Labels that Cilium leaves out of identities (pod-template-hash,
// statefulset.kubernetes.io/pod-name, …) select nothing.
//
// Both ends judge a connection: egress at the source, ingress at the destination. Its replies are part of
// it. A pod always reaches itself, by address and through a service. A pod's own node always gets in,
// unless a rule denies it. Policies with a nodeSelector count only with [Config].HostFirewall, which is off
// by default, as in Cilium.
//
// Names: a pod that connects to a service by name ("svc:ns/name") or to a name outside ("fqdn:name") first
// looks it up at the pods behind kube-system/kube-dns, over UDP 53; every one of them must be reachable (the
// look-up may go to any), or the verdict is dns_failed. Resolvers ask over TCP only when an answer over UDP was too
// long, so TCP 53 alone resolves nothing. The query is for the full name, name.ns.svc.cluster.local. A
// query that is itself the probe goes to svc:kube-system/kube-dns by its address, over the protocol that it names. In a
// cluster without such pods nothing is looked up: a service is reached by its address. A toFQDNs rule selects an
// address only if the pod could learn it: if a look-up of its name passes a DNS rule and is answered; without DNS pods
// a DNS rule for the name is enough.
//
// Node ports, load balancer addresses and external IPs lead into pods. Which of several ways the connection takes
// is not known; where they come to different verdicts, the probe is refused. So is one of a pod's host port.
//
// A service is as reachable as its worst endpoint. Without endpoints, or on a port that it does not have,
// the connection is rejected. Whether a program listens on a port is not asked: policies do not know.
//
// A connection to a port with HTTP rules or server names is allowed, for it is the proxy that answers; a
// request that no rule lets through is an app_error. Headers whose mismatch Cilium only logs or corrects do
// not matter.
//
// # Where Cilium departs from what one expects
//
// The engine does as Cilium does: a CiliumNetworkPolicy with "ingress: [{}]" denies everything; an ipBlock
// never selects pods or nodes; ingress rules are enforced even if policyTypes says Egress; ICMP type 0 in a rule
// is every type; a toServices rule with toPorts whose services have no endpoints opens the ports to
// everyone; a selector of namespaces with negative terms only (ClusterNetworkPolicy) selects every pod. With
// [Kubernetes] semantics a NetworkPolicy or ClusterNetworkPolicy is read by the text of its API instead.
//
// # What is refused
//
// By name, with file and line: fromGroups and toGroups, fromNodes, toNodes and the nodes of a
// ClusterNetworkPolicy, fromRequires and toRequires, authentication other than disabled, listeners, TLS
// interception and origination, header values from Secrets, toServices in a deny rule, protocols without
// ports (GRE, ESP, VRRP, …), and whatever Cilium itself would not accept.
//
// # What is left out
//
// Time (no rule expires, DNS answers are for ever), cluster mesh, topology-aware routing, Cilium's
// options that change identities (label filters, node selectors, CIDR rules that match nodes), ingress
// controllers and gateways, and policies in audit mode.
package policy
