package hubble

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
)

// Filters are the filters of a request, set as the flags of `hubble observe` set them: values of one filter are
// alternatives, filters of different names must all match, and what follows "not" must not match. The zero value
// selects all flows.
type Filters struct {
	// Apps returns the pods of a lab's app, for the filters that hubble lacks: "app", "from" and "to".
	Apps func(name string) ([]Pods, error)

	allow, deny filterSet
	not         bool // the next filter goes to deny
}

// filterSet is one list of filters. A flow matches it if it matches the source or the destination filter: they
// differ where a filter means either end of a flow.
type filterSet struct {
	source, destination flowpb.FlowFilter
	namespaces          [2][]string // of the source and the destination
	either              []string    // namespaces of either end
	apps                [3][]string // by their names: either end, the source, the destination
	set                 []string    // names of the filters that were set
}

// Set adds a value of the filter with the given name, see FilterKinds.
func (f *Filters) Set(name, value string) error {
	if name == notFlag {
		if f.not {
			return errors.New("--not must be followed by the filter that it reverses")
		}
		f.not = true
		return nil
	}
	kind := kindNamed(name)
	if kind == nil {
		return fmt.Errorf("there is no filter %s", name)
	}
	list := &f.allow
	if f.not {
		list, f.not = &f.deny, false
	}
	if !slices.Contains(list.set, name) {
		list.set = append(list.set, name)
	}
	if err := list.conflict(); err != nil {
		return err
	}
	values := []string{value}
	if kind.list {
		values = strings.Split(value, ",")
	}
	for _, v := range values {
		if err := kind.set(list, v); err != nil {
			return err
		}
	}
	return list.checkNamespaces()
}

// HasEnd reports whether a filter says whose flows are meant.
func (f *Filters) HasEnd() bool {
	return slices.ContainsFunc(f.allow.set, func(name string) bool {
		return name == "uuid" || name == "cel-expression" || isEnd(name)
	})
}

// IsSet reports whether any of the filters was set, reversed or not.
func (f *Filters) IsSet(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.Contains(f.allow.set, name) || slices.Contains(f.deny.set, name)
	})
}

// Lists are the lists of a request: a flow must match one filter of the first, unless it is empty, and none of the
// second.
func (f *Filters) Lists() (allow, deny []*flowpb.FlowFilter, err error) {
	if f.not {
		return nil, nil, errors.New("--not must be followed by the filter that it reverses")
	}
	if allow, err = f.allow.filters(f.Apps); err != nil {
		return nil, nil, err
	}
	deny, err = f.deny.filters(f.Apps)
	return allow, deny, err
}

func (s *filterSet) filters(apps func(string) ([]Pods, error)) ([]*flowpb.FlowFilter, error) {
	if len(s.set) == 0 {
		return nil, nil
	}
	source, destination := proto.CloneOf(&s.source), proto.CloneOf(&s.destination)
	for _, f := range []*flowpb.FlowFilter{source, destination} {
		inNamespaces(&f.SourcePod, &f.SourceService, s.namespaces[0])
		inNamespaces(&f.DestinationPod, &f.DestinationService, s.namespaces[1])
	}
	inNamespaces(&source.SourcePod, &source.SourceService, s.either)
	inNamespaces(&destination.DestinationPod, &destination.DestinationService, s.either)
	expression, err := s.appExpression(apps)
	if err != nil {
		return nil, err
	}
	if expression != "" {
		narrow(source, expression)
		narrow(destination, expression)
	}
	if proto.Equal(source, destination) {
		return []*flowpb.FlowFilter{source}, nil
	}
	return []*flowpb.FlowFilter{source, destination}, nil
}

// appExpression is true in CEL for flows of the apps.
func (s *filterSet) appExpression(apps func(string) ([]Pods, error)) (string, error) {
	var all []string
	for i, ends := range [][]string{{"source", "destination"}, {"source"}, {"destination"}} {
		var pods []Pods
		for _, name := range s.apps[i] {
			more, err := apps(name)
			if err != nil {
				return "", err
			}
			pods = append(pods, more...)
		}
		if len(pods) > 0 {
			all = append(all, "("+anyOf(pods, ends...)+")")
		}
	}
	return strings.Join(all, " && "), nil
}

// narrow adds an expression that must be true besides those that the filter has, which are alternatives.
func narrow(f *flowpb.FlowFilter, expression string) {
	if has := f.GetExperimental().GetCelExpression(); len(has) > 0 {
		expression = "((" + strings.Join(has, ") || (") + ")) && " + expression
	}
	f.Experimental = &flowpb.FlowFilter_Experimental{CelExpression: []string{expression}}
}

// inNamespaces adds the namespaces to pods and services that have none; without either, all pods are meant.
func inNamespaces(pods, services *[]string, namespaces []string) {
	if len(namespaces) == 0 {
		return
	}
	if len(*pods)+len(*services) == 0 {
		*pods = []string{""}
	}
	for _, names := range []*[]string{pods, services} {
		var full []string
		for _, name := range *names {
			if strings.Contains(name, "/") {
				full = append(full, name)
				continue
			}
			for _, namespace := range namespaces {
				full = append(full, namespace+"/"+name)
			}
		}
		*names = full
	}
}

// exclusive are the filters of which only one may be set, as in hubble.
var exclusive = [][]string{
	{"from-fqdn", "from-ip", "ip", "fqdn", "from-namespace", "namespace", "from-all-namespaces", "all-namespaces"},
	{"from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod"},
	{"to-fqdn", "to-ip", "ip", "fqdn", "to-namespace", "namespace", "to-all-namespaces", "all-namespaces"},
	{"to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod"},
	{"to-pod", "namespace", "all-namespaces"},
	{"from-pod", "namespace", "all-namespaces"},
	{"to-service", "namespace", "all-namespaces"},
	{"from-service", "namespace", "all-namespaces"},
	{"label", "from-label"}, {"label", "to-label"},
	{"service", "from-service"}, {"service", "to-service"},
	{"port", "from-port"}, {"port", "to-port"},
	{"identity", "from-identity"}, {"identity", "to-identity"},
	{"workload", "from-workload"}, {"workload", "to-workload"},
	{"encrypted", "unencrypted"}, {"reply", "not-reply"},
}

func (s *filterSet) conflict() error {
	for _, group := range exclusive {
		var set []string
		for _, name := range group {
			if slices.Contains(s.set, name) {
				set = append(set, name)
			}
		}
		if len(set) > 1 {
			return fmt.Errorf("filters --%s and --%s cannot be combined", set[0], set[1])
		}
	}
	return nil
}

// checkNamespaces refuses pods and services outside of the namespaces that are asked for.
func (s *filterSet) checkNamespaces() error {
	for _, f := range []*flowpb.FlowFilter{&s.source, &s.destination} {
		from := slices.Concat(f.SourcePod, f.SourceService)
		to := slices.Concat(f.DestinationPod, f.DestinationService)
		err := errors.Join(outside(s.either, from), outside(s.either, to),
			outside(s.namespaces[0], from), outside(s.namespaces[1], to),
			apart(f.SourcePod, f.SourceService), apart(f.DestinationPod, f.DestinationService))
		if err != nil {
			return err
		}
	}
	return nil
}

func outside(namespaces, names []string) error {
	for _, namespace := range namespaces {
		for _, name := range names {
			if ns, _, ok := strings.Cut(name, "/"); ok && ns != "" && ns != namespace {
				return fmt.Errorf("namespace conflict: %q does not contain %q", namespace, name)
			}
		}
	}
	return nil
}

// apart refuses services in another namespace than the pods behind them.
func apart(pods, services []string) error {
	for _, pod := range pods {
		namespace, _, ok := strings.Cut(pod, "/")
		if !ok || namespace == "" {
			continue
		}
		for _, service := range services {
			if ns, _, _ := strings.Cut(service, "/"); ns != namespace || !strings.Contains(service, "/") {
				return fmt.Errorf("namespace of service %q conflicts with pod %q", service, pod)
			}
		}
	}
	return nil
}

// ParseFilters reads filters as `hubble observe --print-raw-filters` prints them: JSON objects, one after the other.
func ParseFilters(text string) ([]*flowpb.FlowFilter, error) {
	var list []*flowpb.FlowFilter
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		f := new(flowpb.FlowFilter)
		err := dec.Decode(f)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w; it has to be a FlowFilter in JSON, such as {\"verdict\":[\"DROPPED\"]}", text, err)
		}
		list = append(list, f)
	}
}

// RawFilters prints the filters of a query as `hubble observe --print-raw-filters` does.
func (q *Query) RawFilters() ([]byte, error) {
	var raw struct {
		Allow []string `yaml:"allowlist,omitempty"`
		Deny  []string `yaml:"denylist,omitempty"`
	}
	for _, list := range []struct {
		filters []*flowpb.FlowFilter
		text    *[]string
	}{{q.Allow, &raw.Allow}, {q.Deny, &raw.Deny}} {
		for _, f := range list.filters {
			data, err := json.Marshal(f)
			if err != nil {
				return nil, err
			}
			*list.text = append(*list.text, string(data))
		}
	}
	return yaml.Marshal(raw)
}
