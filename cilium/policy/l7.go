package policy

import (
	"cmp"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// l7 are the requests that a port rule lets through; everything else on the port is refused by the
// proxy. Exactly one of the lists is not nil.
type l7 struct {
	http []httpRule
	dns  []dnsRule
	sni  []sniRule
	size int // of the patterns, see MaxPatternSize
}

type httpRule struct {
	method, path, host *regexp.Regexp // nil: any
	headers            []headerRule
	text               string
}

type headerRule struct {
	name     string
	value    string
	anyValue bool
}

type dnsRule struct {
	re   *regexp.Regexp
	text string
}

type sniRule struct {
	re   *regexp.Regexp
	text string
}

// wholeRegexp compiles a pattern that must match the whole text, as Envoy does.
func wholeRegexp(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + pattern + ")$")
}

func newHTTPRule(r *api.PortRuleHTTP) (httpRule, error) {
	var out httpRule
	var err error
	if out.method, err = wholeRegexp(r.Method); err != nil {
		return out, fmt.Errorf("method: %w", err)
	}
	if out.path, err = wholeRegexp(r.Path); err != nil {
		return out, fmt.Errorf("path: %w", err)
	}
	if out.host, err = wholeRegexp(r.Host); err != nil {
		return out, fmt.Errorf("host: %w", err)
	}
	var text []string
	note := func(what, value string) {
		if value != "" {
			text = append(text, what+" "+value)
		}
	}
	note("method", r.Method)
	note("path", r.Path)
	note("host", r.Host)
	for _, h := range r.Headers {
		// "Name value", or "Name: value", or a name alone: the header must be there.
		name, value, found := strings.Cut(h, " ")
		rule := headerRule{name: strings.TrimRight(name, ":"), value: value, anyValue: !found}
		out.headers = append(out.headers, rule)
		note("header", h)
	}
	for _, h := range r.HeaderMatches {
		if h.Mismatch != "" {
			continue // a mismatch is logged or corrected, not refused
		}
		out.headers = append(out.headers, headerRule{name: h.Name, value: h.Value, anyValue: h.Value == ""})
		note("header", h.Name+" "+h.Value)
	}
	out.text = strings.Join(text, ", ")
	if out.text == "" {
		out.text = "any request"
	}
	return out, nil
}

func (r *httpRule) matches(q *HTTPProbe) bool {
	method, path := cmp.Or(q.Method, "GET"), cmp.Or(q.Path, "/")
	if r.method != nil && !r.method.MatchString(method) || r.path != nil && !r.path.MatchString(path) ||
		r.host != nil && !r.host.MatchString(q.Host) {
		return false
	}
	for _, h := range r.headers {
		value, ok := header(q.Headers, h.name)
		if !ok || !h.anyValue && value != h.value {
			return false
		}
	}
	return true
}

func header(headers map[string]string, name string) (string, bool) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for k, v := range headers {
		if textproto.CanonicalMIMEHeaderKey(k) == name {
			return v, true
		}
	}
	return "", false
}

// newDNSRule compiles a matchName or matchPattern.
func newDNSRule(s api.FQDNSelector) (dnsRule, error) {
	re, err := s.ToRegex()
	if err != nil {
		return dnsRule{}, err
	}
	if s.MatchName != "" {
		return dnsRule{re: re, text: "matchName " + s.MatchName}, nil
	}
	return dnsRule{re: re, text: "matchPattern " + s.MatchPattern}, nil
}

// newSNIRule compiles a server name, in which "*" stands for characters of one label and "**" of several.
func newSNIRule(name string) (sniRule, error) {
	re, err := matchpattern.Validate(matchpattern.Sanitize(name))
	if err != nil {
		return sniRule{}, err
	}
	return sniRule{re: re, text: name}, nil
}

// before reports whether of two redirects of one connection Cilium takes this one: HTTP, then server
// names, then DNS.
func (l *l7) before(other *l7) bool {
	rank := func(l *l7) int {
		switch {
		case l.http != nil:
			return 0
		case l.sni != nil:
			return 1
		}
		return 2
	}
	return rank(l) < rank(other)
}

// steps is what it costs to compare a request with the patterns.
func (l *l7) steps(p *Probe) int {
	text := len(p.DNSQuery) + len(p.TLSSNI)
	if p.HTTP != nil {
		text = len(p.HTTP.Method) + len(p.HTTP.Path) + len(p.HTTP.Host)
	}
	return 1 + l.size*(8+text)/16
}

// allows reports whether the request of the probe passes. A probe that only connects passes: it is the
// proxy that answers.
func (l *l7) allows(p *Probe) bool {
	switch {
	case l.http != nil:
		if p.HTTP == nil {
			return true
		}
		for i := range l.http {
			if l.http[i].matches(p.HTTP) {
				return true
			}
		}
		return false
	case l.dns != nil:
		return p.DNSQuery == "" || l.allowsName(cluster.QueryName(p.DNSQuery))
	case l.sni != nil:
		if p.TLSSNI == "" {
			return p.HTTP == nil
		}
		name := cluster.QueryName(p.TLSSNI)
		for i := range l.sni {
			if l.sni[i].re.MatchString(name) {
				return true
			}
		}
		return false
	}
	return true
}

func (l *l7) allowsName(name string) bool {
	for i := range l.dns {
		if l.dns[i].re.MatchString(name) {
			return true
		}
	}
	return false
}
