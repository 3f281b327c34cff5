package policy

import "github.com/labctl/labctl/cilium/policy/manifest"

// Semantics says whose reading of a NetworkPolicy counts where Cilium and Kubernetes' text differ.
type Semantics string

const (
	// Cilium is the default: an ipBlock never selects a pod, and ingress rules are enforced whatever
	// policyTypes says.
	Cilium Semantics = "cilium"
	// Kubernetes follows the text of the API: an ipBlock selects pods by address, and the rules of a
	// direction that policyTypes leaves out are ignored.
	Kubernetes Semantics = "kubernetes"
)

// Config is what the engine must know of the cluster beside its objects. The zero value is the default
// of Cilium's Helm chart: cluster "default", IPv4, no IPv6, L7 proxy on.
type Config struct {
	Semantics   Semantics
	ClusterName string
	IPv6        bool
	// HostFirewall makes policies with a nodeSelector count; Cilium leaves it off.
	HostFirewall bool
}

// Verdict is what the client of a connection sees.
type Verdict string

const (
	Allowed   Verdict = "allowed"
	Dropped   Verdict = "dropped"    // no answer: the connect times out
	Rejected  Verdict = "rejected"   // refused at once: RST, ICMP unreachable, or no endpoint behind the service
	DNSFailed Verdict = "dns_failed" // the target's name did not resolve
	AppError  Verdict = "app_error"  // connected, then refused above L4: HTTP 403, DNS REFUSED
)

// Probe is one connection to judge; its JSON is the contract of `labctl probe` (docs/probe.md).
//
// From and To are "ns/pod", "ip:1.2.3.4", "svc:ns/name", "fqdn:name", "node:name" or
// "entity:host|remote-node|kube-apiserver|world".
type Probe struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Port     int        `json:"port,omitempty"`
	Protocol string     `json:"protocol,omitempty"` // TCP (default), UDP, SCTP, ICMP, ICMPv6
	ICMPType *int       `json:"icmp_type,omitempty"`
	HTTP     *HTTPProbe `json:"http,omitempty"`
	DNSQuery string     `json:"dns_query,omitempty"`
	TLSSNI   string     `json:"tls_sni,omitempty"`
}

// HTTPProbe is the request of a probe of an HTTP server.
type HTTPProbe struct {
	Method  string            `json:"method,omitempty"` // GET (default)
	Path    string            `json:"path,omitempty"`   // "/" (default)
	Host    string            `json:"host,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// Result is the verdict on a Probe and how each side came to it. A side is nil where no policy can
// apply there (an address outside the cluster, a service without endpoints, a name that did not resolve).
type Result struct {
	Probe
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"` // one line where the sides do not say it: "service default/db has no endpoints"
	// DNS is the look-up that came before the connection, when it is what failed.
	DNS     *Result `json:"dns,omitempty"`
	Egress  *Side   `json:"egress,omitempty"`
	Ingress *Side   `json:"ingress,omitempty"`
	// Backends are the verdicts on each endpoint of a service, or each address of a name, when there
	// is more than one; the verdict above is the worst of them.
	Backends []Result `json:"backends,omitempty"`
}

// RuleRef points at a rule in the text of a policy.
type RuleRef struct {
	Policy manifest.Ref `json:"policy"`
	Rule   string       `json:"rule,omitempty"` // "spec.ingress[0].from[1]"; empty: the policy as a whole
	File   string       `json:"file,omitempty"`
	Line   int          `json:"line,omitempty"`
}

// Decision says what kind of thing decided a side.
type Decision string

const (
	ByAllow       Decision = "allow"        // a rule allows
	ByDeny        Decision = "deny"         // a deny rule denies
	ByDefaultDeny Decision = "default-deny" // isolated, and no rule allows
	ByDefault     Decision = "not-isolated" // no policy selects the endpoint in this direction
	ByHost        Decision = "local-host"   // the endpoint's own node always gets in
	ByL7          Decision = "l7"           // let through to the proxy, which refuses the request
)

// Side is the outcome of one direction at one endpoint.
type Side struct {
	Verdict  Verdict  `json:"verdict"` // allowed, dropped or app_error
	Endpoint string   `json:"endpoint"`
	Decision Decision `json:"decision"`
	// Rule decided, for allow, deny and l7.
	Rule *RuleRef `json:"rule,omitempty"`
	// Isolating are the policies that put the endpoint into default deny, for default-deny.
	Isolating []RuleRef `json:"isolating,omitempty"`
	// Near are the allow rules that select the endpoint and did not match, nearest first. Only Explain fills it.
	Near []NearMiss `json:"near,omitempty"`
}

// Mismatch says in what respect a rule failed to match.
type Mismatch string

const (
	MismatchSubject   Mismatch = "subject"   // the policy does not select the endpoint
	MismatchNamespace Mismatch = "namespace" // the peer is in a namespace that the rule does not select
	MismatchPeer      Mismatch = "peer"      // the peer's labels (or address) do not match
	MismatchNoPeer    Mismatch = "no-peer"   // the rule selects no peer at all
	MismatchPort      Mismatch = "port"      // the peer matches, the port or protocol does not
	MismatchName      Mismatch = "name"      // the FQDN was never learnt, or is another
	MismatchL7        Mismatch = "l7"        // peer and port match, the request does not
)

// NearMiss is a rule that could have allowed the connection and did not.
type NearMiss struct {
	RuleRef
	Mismatch Mismatch `json:"mismatch"`
	Why      string   `json:"why"` // one sentence, down to the label or port: "the rule wants app=front, the pod has app=frontend"
	// Wants and Has are the two sides of the mismatch in machine form, where there are two.
	Wants string `json:"wants,omitempty"`
	Has   string `json:"has,omitempty"`
}
