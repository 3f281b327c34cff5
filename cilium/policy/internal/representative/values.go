package representative

import (
	"maps"
	"slices"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// AnyValue stands for a value of a label that no policy mentions, and absent for a label that is not there.
const (
	AnyValue = "any-value"
	absent   = "\x00"
)

// Labels are the labels of pods and of namespaces that selectors mention.
type Labels struct {
	pod       values
	namespace values
}

// NewLabels returns the labels of no selector.
func NewLabels() Labels { return Labels{pod: values{}, namespace: values{}} }

// Add adds the keys and values that a selector mentions.
func (l *Labels) Add(s *slimv1.LabelSelector) {
	note := func(key string, list ...string) {
		key = labels.ParseSelectLabel(key).Key
		name, ofNamespace := cluster.NamespaceLabel(key)
		switch {
		case key == ciliumio.PolicyLabelCluster:
		case key == ciliumio.PodNamespaceLabel, ofNamespace && name == cluster.LabelMetadataName:
			l.namespace.add(cluster.LabelMetadataName, list...)
		case ofNamespace:
			l.namespace.add(name, list...)
		default:
			l.pod.add(key, list...)
		}
	}
	for k, v := range s.MatchLabels {
		note(k, v)
	}
	for _, r := range s.MatchExpressions {
		note(r.Key, r.Values...)
	}
}

// namesOfNamespaces are the names of namespaces that selectors mention. They are taken out of the labels.
func (l *Labels) namesOfNamespaces() []string {
	var names []string
	if list := l.namespace[cluster.LabelMetadataName]; list != nil {
		names = slices.DeleteFunc(slices.Clone(list.list), func(name string) bool {
			return name == absent || name == AnyValue
		})
	}
	delete(l.namespace, cluster.LabelMetadataName)
	return names
}

// values are the label values to try, by key.
type values map[string]*valueList

type valueList struct {
	list []string
	has  map[string]bool
}

func (v values) add(key string, list ...string) {
	l := v[key]
	if l == nil {
		l = &valueList{list: []string{absent, AnyValue}, has: map[string]bool{absent: true, AnyValue: true}}
		v[key] = l
	}
	for _, x := range list {
		if !l.has[x] {
			l.has[x] = true
			l.list = append(l.list, x)
		}
	}
}

// include reports whether labels have every label of those of something real that selectors look at, and
// whether there is one.
func (v values) include(labels, of map[string]string) bool {
	some := false
	for key, want := range of {
		if v[key] == nil {
			continue
		}
		if got, has := labels[key]; !has || got != want {
			return false
		}
		some = true
	}
	return some
}

// combinations returns every choice of one value for each key; nil if there are too many.
func combinations(v values) []map[string]string {
	n := 1
	for _, list := range v {
		if n *= len(list.list); n > maxCombinations {
			return nil
		}
	}
	out := []map[string]string{{}}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		var next []map[string]string
		for _, have := range out {
			for _, value := range v[key].list {
				l := have
				if value != absent {
					l = maps.Clone(have)
					l[key] = value
				}
				next = append(next, l)
			}
		}
		out = next
	}
	return out
}

// reducedCombinations returns fewer combinations: what each selector asks for, alone and with one further label.
func (in *Input) reducedCombinations(v values) []map[string]string {
	bases := []map[string]string{{}}
	for _, s := range in.Texts {
		in.Spend(collectSteps)
		if s != nil {
			in.Spend(collectSteps * (len(s.MatchLabels) + len(s.MatchExpressions)))
			bases = append(bases, v.askedFor(s))
		}
	}
	out := bases
	keys := slices.Sorted(maps.Keys(v))
	for _, base := range bases {
		in.Spend(1 + len(base))
		for _, key := range keys {
			in.Spend(1)
			if _, has := base[key]; has {
				continue
			}
			for _, value := range v[key].list[1:] {
				in.Spend(1 + len(base))
				if len(out) >= maxCombinations {
					return out
				}
				l := maps.Clone(base)
				l[key] = value
				out = append(out, l)
			}
		}
	}
	return out
}

// askedFor are the labels, of those in v, that a selector asks for.
func (v values) askedFor(s *slimv1.LabelSelector) map[string]string {
	l := map[string]string{}
	set := func(key, value string) {
		key = labels.ParseSelectLabel(key).Key
		if name, ok := cluster.NamespaceLabel(key); ok {
			key = name
		}
		if _, mine := v[key]; mine {
			l[key] = value
		}
	}
	for k, value := range s.MatchLabels {
		set(k, value)
	}
	for _, r := range s.MatchExpressions {
		switch {
		case r.Operator == slimv1.LabelSelectorOpIn && len(r.Values) > 0:
			set(r.Key, r.Values[0])
		case r.Operator == slimv1.LabelSelectorOpExists:
			set(r.Key, AnyValue)
		}
	}
	return l
}
