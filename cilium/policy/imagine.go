package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
)

// selection is one selector that some policy has, of subjects or peers.
type selection struct {
	selector *types.LabelSelector
	text     *slimv1.LabelSelector
}

func addSelection(list []selection, seen map[string]bool, text *slimv1.LabelSelector) []selection {
	if text == nil {
		return list
	}
	s := types.NewLabelSelector(api.EndpointSelector{LabelSelector: text})
	key := text.String()
	if seen[key] {
		return list
	}
	seen[key] = true
	return append(list, selection{selector: s, text: text})
}

// imagination makes up the pods that the policies can tell apart.
type imagination struct {
	p    *prover
	c    *Cluster
	kept map[string]bool // the sets of selectors that some pod made up already matches

	podValues, namespaceValues values
}

// absent stands for a label that is not there, and fresh for a value that no policy mentions.
const (
	absent = "\x00"
	fresh  = "any-value"
)

// values are the label values to try, by key.
type values map[string][]string

func (v values) add(key string, list ...string) {
	if _, ok := v[key]; !ok {
		v[key] = []string{absent, fresh}
	}
	for _, x := range list {
		if !slices.Contains(v[key], x) {
			v[key] = append(v[key], x)
		}
	}
}

func (im *imagination) run() {
	im.podValues, im.namespaceValues = values{}, values{}
	namespaces := map[string]map[string]string{}
	for name, l := range im.c.namespaces {
		namespaces[name] = l
	}
	note := func(key string, list ...string) {
		key = keyOf(key)
		switch {
		case key == ciliumio.PodNamespaceLabel:
			for _, name := range list {
				if namespaces[name] == nil {
					namespaces[name] = map[string]string{labelMetadataName: name}
				}
			}
		case key == ciliumio.PolicyLabelCluster:
		default:
			if l, ok := namespaceLabel(key); ok {
				if l == labelMetadataName {
					for _, name := range list {
						if namespaces[name] == nil {
							namespaces[name] = map[string]string{labelMetadataName: name}
						}
					}
					return
				}
				im.namespaceValues.add(l, list...)
				return
			}
			im.podValues.add(key, list...)
		}
	}
	for _, s := range im.p.selectors {
		for k, v := range s.text.MatchLabels {
			note(k, v)
		}
		for _, r := range s.text.MatchExpressions {
			note(r.Key, r.Values...)
		}
	}
	newNamespaces := im.newNamespaces()
	pods := combinations(im.podValues)
	if pods == nil || len(pods)*(len(namespaces)+len(newNamespaces)) > maxCombinations {
		pods = im.modest(im.podValues)
	}
	for _, name := range slices.Sorted(maps.Keys(namespaces)) {
		if slices.Contains(im.p.q.ExceptNamespaces, name) {
			continue
		}
		for _, l := range pods {
			im.pod(name, namespaces[name], l, im.c.namespaces[name] == nil)
		}
	}
	for i, nl := range newNamespaces {
		name := fmt.Sprintf("any-namespace-%d", i+1)
		nl = maps.Clone(nl)
		nl[labelMetadataName] = name
		for _, l := range pods {
			im.pod(name, nl, l, true)
		}
	}
}

// newNamespaces returns the labels of namespaces that are not in the cluster, without those that have the
// labels of an excepted one: what the policy lets in there is what its labels mean.
func (im *imagination) newNamespaces() []map[string]string {
	list := combinations(im.namespaceValues)
	if list == nil {
		list = im.modest(im.namespaceValues)
	}
	return slices.DeleteFunc(list, func(l map[string]string) bool {
		return slices.ContainsFunc(im.p.q.ExceptNamespaces, func(name string) bool {
			return sameLabels(im.namespaceValues, l, im.c.namespaces[name])
		})
	})
}

// sameLabels reports whether two sets of labels agree in all keys that count, and have one of them at least.
func sameLabels(keys values, a, b map[string]string) bool {
	some := false
	for key := range keys {
		x, inA := a[key]
		y, inB := b[key]
		if inA != inB || x != y {
			return false
		}
		some = some || inA
	}
	return some
}

// likeExcepted reports whether a made-up pod has the labels of an excepted pod, in the same namespace or in
// a new one with the same labels.
func (im *imagination) likeExcepted(x *pod, namespaceLabels map[string]string, newNamespace bool) bool {
	for _, ref := range im.p.q.ExceptPods {
		y := im.p.e.c.podByName[ref]
		if y == nil || !sameLabels(im.podValues, x.labels, y.labels) {
			continue
		}
		if x.namespace == y.namespace || newNamespace && sameLabels(im.namespaceValues, namespaceLabels, im.c.namespaces[y.namespace]) {
			return true
		}
	}
	return false
}

// combinations returns every choice of one value for each key; nil if there are too many.
func combinations(v values) []map[string]string {
	n := 1
	for _, list := range v {
		if n *= len(list); n > maxCombinations {
			return nil
		}
	}
	out := []map[string]string{{}}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		var next []map[string]string
		for _, have := range out {
			for _, value := range v[key] {
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

// modest returns fewer combinations: what each selector asks for, alone and with one further label.
func (im *imagination) modest(v values) []map[string]string {
	bases := []map[string]string{{}}
	for _, s := range im.p.selectors {
		l := map[string]string{}
		set := func(key string, value string) {
			key = keyOf(key)
			if ns, ok := namespaceLabel(key); ok {
				key = ns
			}
			if _, mine := v[key]; mine {
				l[key] = value
			}
		}
		for k, value := range s.text.MatchLabels {
			set(k, value)
		}
		for _, r := range s.text.MatchExpressions {
			switch {
			case r.Operator == slimv1.LabelSelectorOpIn && len(r.Values) > 0:
				set(r.Key, r.Values[0])
			case r.Operator == slimv1.LabelSelectorOpExists:
				set(r.Key, fresh)
			}
		}
		bases = append(bases, l)
	}
	out := bases
	for _, base := range bases {
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, has := base[key]; has {
				continue
			}
			for _, value := range v[key][1:] {
				l := maps.Clone(base)
				l[key] = value
				out = append(out, l)
			}
		}
	}
	return out
}

// pod adds a pod to the cluster unless the policies cannot tell it from one made up before.
func (im *imagination) pod(namespace string, namespaceLabels, podLabels map[string]string, newNamespace bool) {
	account := "default"
	if a, ok := podLabels[ciliumio.PolicyLabelServiceAccount]; ok {
		account = a
		podLabels = maps.Clone(podLabels)
		delete(podLabels, ciliumio.PolicyLabelServiceAccount)
	}
	array := im.c.ids.podLabels(podLabels, namespace, namespaceLabels, account, im.c.cfg.ClusterName)
	var signature strings.Builder
	for _, s := range im.p.selectors {
		if s.selector.Matches(array) {
			signature.WriteByte('1')
		} else {
			signature.WriteByte('0')
		}
	}
	if im.kept[signature.String()] {
		return
	}
	x := &pod{namespace: namespace, name: fmt.Sprintf("any-pod-%d", len(im.kept)+1), labels: podLabels, account: account, node: &node{}}
	x.ref = namespace + "/" + x.name
	if im.p.excepted(x) || im.likeExcepted(x, namespaceLabels, newNamespace) {
		return
	}
	im.kept[signature.String()] = true
	im.c.namespaces[namespace] = namespaceLabels
	im.c.pods = append(im.c.pods, x)
	im.c.podByName[x.ref] = x
	where := "in namespace " + namespace
	if newNamespace {
		where = fmt.Sprintf("in a namespace that is not in the cluster, with %s", describeLabels(namespaceLabels))
	}
	im.p.imagined[x.ref] = fmt.Sprintf("stands for any pod with %s %s", describeLabels(podLabels), where)
}
