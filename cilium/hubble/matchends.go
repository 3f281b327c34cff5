package hubble

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"k8s.io/apimachinery/pkg/labels"
)

func sourceIP(f *flowpb.Flow) string      { return f.GetIP().GetSource() }
func destinationIP(f *flowpb.Flow) string { return f.GetIP().GetDestination() }
func translatedIP(f *flowpb.Flow) string  { return f.GetIP().GetSourceXlated() }

func sourceLabels(f *flowpb.Flow) []string      { return f.GetSource().GetLabels() }
func destinationLabels(f *flowpb.Flow) []string { return f.GetDestination().GetLabels() }

// object is a pod or a service.
type object struct{ namespace, name string }

func sourceCluster(f *flowpb.Flow) string      { return f.GetSource().GetClusterName() }
func destinationCluster(f *flowpb.Flow) string { return f.GetDestination().GetClusterName() }

func sourceIdentity(f *flowpb.Flow) uint32      { return f.GetSource().GetIdentity() }
func destinationIdentity(f *flowpb.Flow) uint32 { return f.GetDestination().GetIdentity() }

func sourcePod(f *flowpb.Flow) object {
	return object{f.GetSource().GetNamespace(), f.GetSource().GetPodName()}
}

func destinationPod(f *flowpb.Flow) object {
	return object{f.GetDestination().GetNamespace(), f.GetDestination().GetPodName()}
}

func sourceService(f *flowpb.Flow) object {
	return object{f.GetSourceService().GetNamespace(), f.GetSourceService().GetName()}
}

func destinationService(f *flowpb.Flow) object {
	return object{f.GetDestinationService().GetNamespace(), f.GetDestinationService().GetName()}
}

// addressIn is true for flows whose address is the one given, or in the range.
func addressIn(of func(*flowpb.Flow) string) func(string) (predicate, error) {
	return func(want string) (predicate, error) {
		in, err := addressRange(want)
		if err != nil {
			return nil, err
		}
		return func(f *flowpb.Flow) bool {
			addr, err := netip.ParseAddr(of(f))
			return err == nil && in.Contains(addr.Unmap())
		}, nil
	}
}

// addressRange reads an address or a range; an address is the range of itself.
func addressRange(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	in, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address (10.0.0.1) and no range (10.0.0.0/8)", text)
	}
	return in, nil
}

// named is true for flows of an object with this name: [NAMESPACE/]PREFIX. An empty namespace before the slash is any.
func named(of func(*flowpb.Flow) object) func(string) (predicate, error) {
	return func(want string) (predicate, error) {
		if want == "" {
			return nil, errors.New("a name is empty; write [NAMESPACE/]NAME")
		}
		namespace, name, ok := strings.Cut(want, "/")
		if !ok {
			namespace, name = "default", want
		}
		return func(f *flowpb.Flow) bool {
			has := of(f)
			if has.namespace == "" && has.name == "" {
				return false // an end that is no such object, as the world
			}
			return (namespace == "" || has.namespace == namespace) && strings.HasPrefix(has.name, name)
		}, nil
	}
}

// domain is true for flows of which a name matches the pattern. * stands for characters of one part of a name, but
// alone for any name.
func domain(of func(*flowpb.Flow) []string) func(string) (predicate, error) {
	canonical := func(name string) string { return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), ".")) }
	return func(want string) (predicate, error) {
		want = canonical(want)
		if want == "" {
			return nil, errors.New("a DNS name is empty")
		}
		pattern := wildcard(want, `[^.]*`)
		if want == "*" {
			pattern = wildcard(want, `.+`)
		}
		return func(f *flowpb.Flow) bool {
			return slices.ContainsFunc(of(f), func(name string) bool { return pattern.MatchString(canonical(name)) })
		}, nil
	}
}

// wildcard is a pattern in which each * stands for what the given expression matches.
func wildcard(pattern, star string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, star) + "$")
}

// labelSource is the source before a key in a selector: the k8s: of k8s:app.
var labelSource = regexp.MustCompile(`(^|[,!])(\s*[a-z0-9-]+):`)

// labelled is true for flows whose labels match a selector of Kubernetes, in which a key may have a source.
func labelled(of func(*flowpb.Flow) []string) func(string) (predicate, error) {
	return func(want string) (predicate, error) {
		// Kubernetes allows no colon in a key, but a dot.
		selector, err := labels.Parse(labelSource.ReplaceAllString(want, "$1$2."))
		if err != nil {
			return nil, fmt.Errorf("label selector %q: %w", want, err)
		}
		return func(f *flowpb.Flow) bool { return selector.Matches(labelSet(of(f))) }, nil
	}
}

// labelSet has each label with its source, with the source "any", and without, as selectors may name it.
func labelSet(list []string) labels.Set {
	set := labels.Set{}
	for _, label := range list {
		key, value, _ := strings.Cut(label, "=")
		source, rest, ok := strings.Cut(key, ":")
		if !ok {
			source, rest = "", key
		}
		set[rest], set["any."+rest] = value, value
		if source != "" {
			set[source+"."+rest] = value
		}
	}
	return set
}

// ofWorkload is true for flows of a pod that has this workload; an empty kind or name is any.
func ofWorkload(end func(*flowpb.Flow) *flowpb.Endpoint) func(*flowpb.Workload) (predicate, error) {
	return always(func(f *flowpb.Flow, want *flowpb.Workload) bool {
		return slices.ContainsFunc(end(f).GetWorkloads(), func(w *flowpb.Workload) bool {
			return (want.GetKind() == "" || want.GetKind() == w.GetKind()) &&
				(want.GetName() == "" || want.GetName() == w.GetName())
		})
	})
}

// ported is what has ports: TCP, UDP and SCTP.
type ported interface {
	GetSourcePort() uint32
	GetDestinationPort() uint32
}

// portsOf are the ports of a flow, or nil if its protocol has none.
func portsOf(f *flowpb.Flow) ported {
	switch l4 := f.GetL4().GetProtocol().(type) {
	case *flowpb.Layer4_TCP:
		return l4.TCP
	case *flowpb.Layer4_UDP:
		return l4.UDP
	case *flowpb.Layer4_SCTP:
		return l4.SCTP
	}
	return nil
}

func sourcePort(p ported) uint32      { return p.GetSourcePort() }
func destinationPort(p ported) uint32 { return p.GetDestinationPort() }

func portIs(of func(ported) uint32) func(string) (predicate, error) {
	return func(want string) (predicate, error) {
		port, err := strconv.ParseUint(want, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("port %q: use a number from 1 to 65535", want)
		}
		return func(f *flowpb.Flow) bool {
			ports := portsOf(f)
			return ports != nil && of(ports) == uint32(port)
		}, nil
	}
}
