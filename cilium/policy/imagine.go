package policy

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/types"
)

// imagination is everything that the policies of an engine can tell apart: pods that are not in the
// cluster, addresses and ports. It is made once an engine and not changed afterwards.
type imagination struct {
	engine    *Engine // of the cluster with the imagined pods
	pods      []imaginedPod
	ports     map[string][]int // by protocol
	addresses []netip.Addr

	selectors       []*types.LabelSelector
	podValues       values
	namespaceValues values
	kept            map[string]bool   // what tells apart the pods made so far
	elsewhere       *node             // where they run: on none of the cluster's nodes
	array           labels.LabelArray // room for one pod's labels
	key             []byte            // room for what tells one pod apart
}

// imaginedPod is a pod that stands for all that the policies cannot tell from it.
type imaginedPod struct {
	pod             *pod
	namespaceLabels map[string]string
	newNamespace    bool
	signature       string   // which selectors match it
	likePods        []string // pods of the cluster whose labels it has, as far as selectors look
	likeNamespaces  []string // namespaces of the cluster whose labels its own has, likewise
}

func (x *imaginedPod) String() string {
	where := "in namespace " + x.pod.namespace
	if x.newNamespace {
		where = "in a namespace that is not in the cluster, with " + describeLabels(x.namespaceLabels)
	}
	return fmt.Sprintf("stands for any pod with %s %s", describeLabels(x.pod.labels), where)
}

// imagine returns the engine's imagination.
func (e *Engine) imagine() *imagination {
	e.imagineOnce.Do(func() {
		im := &imagination{kept: map[string]bool{}, podValues: values{}, namespaceValues: values{}, elsewhere: &node{}}
		im.collect(e)
		im.imaginePods(e)
		e.imagination = im
	})
	return e.imagination
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

// collect gathers the selectors, addresses and ports that the policies mention.
func (im *imagination) collect(e *Engine) {
	protocols := []string{protoTCP, protoUDP, protoSCTP, protoICMP, protoICMPv6}
	im.ports = map[string][]int{protoICMP: {0, 8, math.MaxUint8}, protoICMPv6: {0, 128, math.MaxUint8}}
	for _, protocol := range protocols[:3] {
		im.ports[protocol] = []int{1, math.MaxUint16}
	}
	seen := map[string]bool{}
	addSelector := func(s *types.LabelSelector, text *slimv1.LabelSelector) {
		if s != nil && text != nil && !seen[s.Key()] {
			seen[s.Key()] = true
			im.selectors = append(im.selectors, s)
			im.mention(text)
		}
	}
	for i := range e.entries {
		b := &e.entries[i]
		addSelector(b.subject, b.subjectText)
		for j := range b.peers {
			p := &b.peers[j]
			addSelector(p.selector, p.text)
			if p.kind == peerCIDR {
				im.addresses = append(im.addresses, edges(p.prefix)...)
				for _, except := range p.except {
					im.addresses = append(im.addresses, edges(except)...)
				}
			}
		}
		for j := range b.ports {
			p := &b.ports[j]
			for _, protocol := range protocols {
				if p.name == "" && (p.protocol == protocol || p.protocol == "" && protocol != protoICMP && protocol != protoICMPv6) {
					im.ports[protocol] = append(im.ports[protocol], int(p.from)-1, int(p.from), int(p.to), int(p.to)+1)
				}
			}
		}
	}
	for _, addrs := range e.names {
		im.addresses = append(im.addresses, addrs...)
	}
	slices.SortFunc(im.addresses, netip.Addr.Compare)
	im.addresses = slices.Compact(im.addresses)
	for protocol, list := range im.ports {
		least, most := 1, math.MaxUint16
		if protocol == protoICMP || protocol == protoICMPv6 {
			least, most = 0, math.MaxUint8
		}
		list = slices.DeleteFunc(list, func(n int) bool { return n < least || n > most })
		slices.Sort(list)
		im.ports[protocol] = slices.Compact(list)
	}
}

// edges returns the first and last address of a range and their neighbours outside it.
func edges(p netip.Prefix) []netip.Addr {
	if !p.IsValid() {
		return nil
	}
	first := p.Masked().Addr()
	bits := first.AsSlice()
	for i := p.Bits(); i < len(bits)*8; i++ {
		bits[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(bits)
	return slices.DeleteFunc([]netip.Addr{first.Prev(), first, last, last.Next()}, func(a netip.Addr) bool { return !a.IsValid() })
}

// mention notes the keys and values that a selector looks at.
func (im *imagination) mention(s *slimv1.LabelSelector) {
	note := func(key string, list ...string) {
		key = keyOf(key)
		l, ofNamespace := namespaceLabel(key)
		switch {
		case key == ciliumio.PolicyLabelCluster:
		case key == ciliumio.PodNamespaceLabel, ofNamespace && l == labelMetadataName:
			im.namespaceValues.add(labelMetadataName, list...)
		case ofNamespace:
			im.namespaceValues.add(l, list...)
		default:
			im.podValues.add(key, list...)
		}
	}
	for k, v := range s.MatchLabels {
		note(k, v)
	}
	for _, r := range s.MatchExpressions {
		note(r.Key, r.Values...)
	}
}

// imaginePods makes the pods, and the engine in which they are.
func (im *imagination) imaginePods(e *Engine) {
	c := *e.c
	c.ids = e.c.ids.extend()
	namespaces := maps.Clone(c.namespaces)
	for _, name := range im.namespaceValues[labelMetadataName] {
		if name != absent && name != fresh && namespaces[name] == nil {
			namespaces[name] = map[string]string{labelMetadataName: name}
		}
	}
	delete(im.namespaceValues, labelMetadataName)
	newNamespaces := combinations(im.namespaceValues)
	if newNamespaces == nil {
		newNamespaces = im.modest(im.namespaceValues, e)
	}
	labels := combinations(im.podValues)
	if labels == nil || len(labels)*(len(namespaces)+len(newNamespaces)) > maxCombinations {
		labels = im.modest(im.podValues, e)
	}
	pods := make([]podKind, len(labels))
	for i, l := range labels {
		pods[i] = im.podKind(&c, l)
	}
	for _, name := range slices.Sorted(maps.Keys(namespaces)) {
		im.inNamespace(&c, name, namespaces[name], e.c.namespaces[name] == nil, pods)
	}
	for i, labels := range newNamespaces {
		labels = maps.Clone(labels)
		labels[labelMetadataName] = fmt.Sprintf("any-namespace-%d", i+1)
		im.inNamespace(&c, labels[labelMetadataName], labels, true, pods)
	}
	im.engine = &Engine{c: &c, policies: e.policies, entries: e.entries, names: e.names}
	im.engine.makeCaches()
}

// podKind is what imagined pods of several namespaces have in common.
type podKind struct {
	labels  map[string]string
	account string
	array   labels.LabelArray // of their identities
	like    []*pod            // the pods of the cluster whose labels they have
}

func (im *imagination) podKind(c *Cluster, labels map[string]string) podKind {
	kind := podKind{labels: labels, account: "default"}
	if a, ok := labels[ciliumio.PolicyLabelServiceAccount]; ok {
		kind.account = a
		kind.labels = maps.Clone(labels)
		delete(kind.labels, ciliumio.PolicyLabelServiceAccount)
	}
	kind.array = c.ids.ownLabels(kind.labels, kind.account)
	for _, p := range c.pods {
		if im.podValues.include(kind.labels, p.labels) {
			kind.like = append(kind.like, p)
		}
	}
	return kind
}

// inNamespace makes the pods of one namespace that differ to the policies.
func (im *imagination) inNamespace(c *Cluster, namespace string, namespaceLabels map[string]string, isNew bool, pods []podKind) {
	var likeNamespaces []string
	if isNew {
		for _, name := range slices.Sorted(maps.Keys(c.namespaces)) {
			if im.namespaceValues.include(namespaceLabels, c.namespaces[name]) {
				likeNamespaces = append(likeNamespaces, name)
			}
		}
	}
	base := c.ids.podLabels(nil, namespace, namespaceLabels, "", c.cfg.ClusterName)
	for i := range pods {
		kind := &pods[i]
		im.array = append(append(im.array[:0], base...), kind.array...)
		im.key = im.key[:0]
		for _, s := range im.selectors {
			if s.Matches(im.array) {
				im.key = append(im.key, '1')
			} else {
				im.key = append(im.key, '0')
			}
		}
		for _, p := range kind.like {
			if isNew || p.namespace == namespace {
				im.key = append(append(im.key, ' '), p.ref...)
			}
		}
		if isNew {
			for _, name := range likeNamespaces {
				im.key = append(append(im.key, ' '), name...)
			}
		} else {
			im.key = append(append(im.key, " at "...), namespace...)
		}
		if im.kept[string(im.key)] {
			continue
		}
		im.kept[string(im.key)] = true
		x := &pod{namespace: namespace, name: "any-pod-" + strconv.Itoa(len(im.pods)+1), labels: kind.labels, account: kind.account, node: im.elsewhere}
		x.ref = namespace + "/" + x.name
		x.id = c.ids.append(identityPod, slices.Clone(im.array))
		made := imaginedPod{
			pod: x, namespaceLabels: namespaceLabels, newNamespace: isNew,
			signature: string(im.key[:len(im.selectors)]), likeNamespaces: likeNamespaces,
		}
		for _, p := range kind.like {
			if isNew || p.namespace == namespace {
				made.likePods = append(made.likePods, p.ref)
			}
		}
		im.pods = append(im.pods, made)
	}
}

// include reports whether labels have every label of those of something real that selectors look at, and
// whether there is one.
func (v values) include(labels, of map[string]string) bool {
	some := false
	for key := range v {
		want, ok := of[key]
		if !ok {
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
func (im *imagination) modest(v values, e *Engine) []map[string]string {
	bases := []map[string]string{{}}
	add := func(s *slimv1.LabelSelector) {
		if s == nil {
			return
		}
		l := map[string]string{}
		set := func(key, value string) {
			key = keyOf(key)
			if ns, ok := namespaceLabel(key); ok {
				key = ns
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
				set(r.Key, fresh)
			}
		}
		bases = append(bases, l)
	}
	for i := range e.entries {
		add(e.entries[i].subjectText)
		for j := range e.entries[i].peers {
			add(e.entries[i].peers[j].text)
		}
	}
	out := bases
	for _, base := range bases {
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, has := base[key]; has {
				continue
			}
			for _, value := range v[key][1:] {
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

func describeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return "no labels"
	}
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		terms = append(terms, k+"="+labels[k])
	}
	return strings.Join(terms, ", ")
}
