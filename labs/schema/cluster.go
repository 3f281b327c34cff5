package schema

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/labctl/labctl/internal/wording"
)

// providers are the cluster blocks, each in the file of its provider together with the Go type of its settings.
func providers() []*Block {
	return []*Block{kind(), gke(), minikube(), existing()}
}

func clusterBlock() *Block {
	b := &Block{Type: "cluster", Labels: []string{"provider"}, ByLabel: map[string]*Block{}}
	for _, p := range providers() {
		b.LabelOneOf = append(b.LabelOneOf, Choice{Value: p.Labels[0]})
		b.ByLabel[p.Labels[0]] = p
	}
	return b
}

// provider is the cluster block of one provider; its label is the provider's name.
func provider(name string, attrs []Attribute, nested ...*Block) *Block {
	for i := range attrs {
		attrs[i].NonEmpty = attrs[i].Type == String
	}
	return &Block{Type: "cluster", Labels: []string{name}, Attributes: attrs, Blocks: nested}
}

// Provider returns the cluster block of a provider, or nil.
func Provider(name string) *Block { return Lab().Block("cluster").ByLabel[name] }

// SettingsKey is the key under which the settings of a cluster hold its nested blocks of a type, as a list of maps.
func SettingsKey(nestedBlock string) string { return wording.Plural(nestedBlock) }

// DecodeCluster turns the settings of a provider's cluster block into their Go type (Kind, GKE, Minikube,
// Existing). It adds the defaults of those that are not given, and checks all of them: they may come from a lab, or
// from a state file that another version of labctl or a person wrote.
func DecodeCluster[T any](providerName string, given map[string]any) (T, error) {
	var settings T
	block := Provider(providerName)
	if block == nil {
		return settings, fmt.Errorf("cluster %q: there is no such provider", providerName)
	}
	complete := block.complete(given)
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: &settings, ErrorUnused: true, DecodeHook: decodeDuration,
	})
	if err != nil {
		return settings, err
	}
	// The checks come first: they say more than a failed conversion does.
	if p := block.checkAll(complete); p != nil {
		return settings, fmt.Errorf("cluster %q: %w", providerName, p)
	}
	if err := dec.Decode(complete); err != nil {
		return settings, fmt.Errorf("cluster %q: %w", providerName, err)
	}
	return settings, nil
}

// decodeDuration reads a duration as the lab language writes it.
func decodeDuration(from, to reflect.Value) (any, error) {
	if from.Kind() != reflect.String || to.Type() != reflect.TypeFor[time.Duration]() {
		return from.Interface(), nil
	}
	return ParseDuration(from.String())
}

// complete adds the defaults to settings and to their nested blocks, in a copy.
func (b *Block) complete(given map[string]any) map[string]any {
	all := maps.Clone(given)
	if all == nil {
		all = map[string]any{}
	}
	for _, a := range b.Attributes {
		if _, ok := all[a.Name]; !ok && a.Default != nil {
			all[a.Name] = a.Default
		}
	}
	for _, nested := range b.Blocks {
		key := SettingsKey(nested.Type)
		var list []map[string]any
		for _, one := range listOfMaps(all[key]) {
			list = append(list, nested.complete(one))
		}
		if list != nil {
			all[key] = list
		}
	}
	return all
}

// checkAll returns the first problem of settings, in the order of the schema, or nil.
func (b *Block) checkAll(settings map[string]any) *Problem {
	for i := range b.Attributes {
		a := &b.Attributes[i]
		value, ok := settings[a.Name]
		if !ok {
			if a.Required {
				return &Problem{"Missing value", a.Name + " is required."}
			}
			continue
		}
		if p := a.Check(plain(value)); p != nil {
			return p
		}
		if _, both := settings[a.Excludes]; both {
			return a.excluded()
		}
	}
	for _, nested := range b.Blocks {
		for _, one := range listOfMaps(settings[SettingsKey(nested.Type)]) {
			if p := nested.checkAll(one); p != nil {
				return &Problem{p.Summary, nested.Type + ": " + p.Detail}
			}
		}
	}
	return nil
}

// plain turns a value as JSON has it into one that Check takes.
func plain(value any) any {
	switch v := value.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < math.MaxInt32 {
			return int(v)
		}
	case map[string]any:
		texts := map[string]string{}
		for k, e := range v {
			texts[k], _ = e.(string) // decoding reports what is not a string
		}
		return texts
	}
	return value
}

func listOfMaps(value any) []map[string]any {
	switch v := value.(type) {
	case []map[string]any:
		return v
	case []any:
		var list []map[string]any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				list = append(list, m)
			}
		}
		return list
	}
	return nil
}

// excluded is the problem of an attribute that is given together with one that it excludes.
func (a *Attribute) excluded() *Problem {
	return &Problem{"Given twice", fmt.Sprintf("%s and %s say the same; remove one of them.", a.Excludes, a.Name)}
}

// CheckExcluded returns the problem of an attribute that is given together with one that it excludes, or nil.
func (a *Attribute) CheckExcluded(given func(attr string) bool) *Problem {
	if a.Excludes != "" && given(a.Name) && given(a.Excludes) {
		return a.excluded()
	}
	return nil
}

// Nodes is how many nodes that run pods a cluster with these settings has: workers, where the provider tells them
// from the control plane, otherwise nodes.
func Nodes(providerName string, settings map[string]any) int {
	block := Provider(providerName)
	if block == nil {
		return 1
	}
	for _, name := range []string{"workers", "nodes"} {
		if a := block.Attribute(name); a != nil {
			if n, ok := plain(block.complete(settings)[name]).(int); ok && a.Check(n) == nil {
				return n
			}
		}
	}
	return 1 // unknown for an existing cluster
}

// NodeNames returns the names of the nodes of a cluster with these settings, as labs refer to them: without the
// cluster's name before them. It is nil for a provider that names them itself.
func NodeNames(providerName string, settings map[string]any) []string {
	if providerName != "kind" {
		return nil
	}
	k, err := DecodeCluster[Kind](providerName, settings)
	if err != nil {
		return nil
	}
	return k.NodeNames()
}

// Providers returns the names of the providers, in the order of the documentation.
func Providers() []string {
	var names []string
	for _, p := range providers() {
		names = append(names, p.Labels[0])
	}
	return names
}
