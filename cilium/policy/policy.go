package policy

import (
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
)

// Probe is one connection to evaluate; its JSON is the contract of `labctl probe` (docs/probe.md).
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
	Verdict verdict.Verdict `json:"verdict"`
	// one line where the sides do not say it: "service default/db has no endpoints"
	Reason string `json:"reason,omitempty"`
	// DNS is the look-up that came before the connection, when it is what failed or Explain was asked.
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
	Verdict  verdict.Verdict `json:"verdict"` // allowed, dropped or app_error
	Endpoint string          `json:"endpoint"`
	Decision Decision        `json:"decision"`
	// HostNetwork: the endpoint is a pod on the host network, with its node's identity; no policy for pods governs it.
	HostNetwork bool `json:"host_network,omitempty"`
	// Rule decided, for allow, deny and l7.
	Rule *RuleRef `json:"rule,omitempty"`
	// Isolating are the policies that put the endpoint into default deny, for default-deny.
	Isolating []RuleRef `json:"isolating,omitempty"`
	// MoreIsolating is how many more there are: of very many only the first are listed.
	MoreIsolating int `json:"more_isolating,omitempty"`
	// Near are the allow rules that select the endpoint and did not match, nearest first. Only Explain fills it.
	Near []NearMiss `json:"near,omitempty"`
	// MoreNear is how many more there are: of very many only the nearest are listed.
	MoreNear int `json:"more_near,omitempty"`
	// Needed is what a rule would have to allow; only Explain fills it, where no rule allows the connection.
	Needed *Needed `json:"-"`
}

// Needed is what a rule of one side would have to allow, as policies see the connection: addresses and ports are those
// behind a service.
type Needed struct {
	Peer     string // "default/backend"; "entity:remote-node" for what no rule can select by labels; "ip:192.0.2.1"
	Protocol string // TCP, UDP, SCTP, ICMP, ICMPv6
	Port     int    // 0 for ICMP
	Request  string // what a rule for the proxy would have to let through; empty if the connection itself is not allowed
}

// Mismatch says in what respect a rule failed to match.
type Mismatch string

const (
	MismatchSubject   Mismatch = "subject"   // the policy does not select the endpoint
	MismatchNamespace Mismatch = "namespace" // the peer is in a namespace that the rule does not select
	MismatchPeer      Mismatch = "peer"      // the peer's labels (or address) do not match
	MismatchNoPeer    Mismatch = "no-peer"   // the rule selects no peer at all
	MismatchPort      Mismatch = "port"      // the peer matches, the port or protocol does not
	MismatchName      Mismatch = "name"      // the FQDN was never learned, or is another
	MismatchL7        Mismatch = "l7"        // peer and port match, the request does not
)

// NearMiss is a rule that could have allowed the connection and did not.
type NearMiss struct {
	RuleRef
	Mismatch Mismatch `json:"mismatch"`
	// one sentence, down to the label or port: "the rule wants app=front, the pod has app=frontend"
	Why string `json:"why"`
	// Wants and Has are the two sides of the mismatch in machine form, where there are two.
	Wants string `json:"wants,omitempty"`
	Has   string `json:"has,omitempty"`
}
