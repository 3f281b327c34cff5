package cilium

import (
	"fmt"
	"maps"
	"os"

	"sigs.k8s.io/yaml"
)

// Defaults are the values that every lab gets: Hubble with its relay, and one operator, since a lab has few
// nodes and a second one could not be scheduled on a single one.
func Defaults(relay bool) map[string]any {
	return map[string]any{
		"operator": map[string]any{"replicas": 1, "rollOutPods": true},
		"hubble": map[string]any{
			"enabled": true,
			"relay":   map[string]any{"enabled": relay, "rollOutPods": true},
		},
		// Values that only change a ConfigMap are to take effect, too.
		"rollOutCiliumPods": true,
		// A namespace that is labelled gives its pods new identities. By default Cilium begins at a random moment of
		// the next 30 s, for the sake of large clusters, and then waits 5 s for other nodes to learn them. A lab has a
		// handful of nodes, and a student who waits for the answer.
		"extraConfig":               map[string]any{"identity-max-jitter": "100ms"},
		"identityChangeGracePeriod": "200ms",
		"envoy":                     map[string]any{"rollOutPods": true},
		// The agent counts as started at the first look after it has: a shorter interval is a second saved.
		"startupProbe": map[string]any{"periodSeconds": 1, "failureThreshold": 600},
	}
}

// Merge puts layers of values on top of each other, later ones win; maps are merged, everything else is
// replaced. A null takes a key of the layers below away. The layers are not changed.
func Merge(layers ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, layer := range layers {
		out = merge(out, layer)
	}
	return out
}

func merge(below, above map[string]any) map[string]any {
	out := maps.Clone(below)
	for key, v := range above {
		if sub, ok := v.(map[string]any); ok {
			lower, _ := out[key].(map[string]any)
			if lower == nil {
				lower = map[string]any{}
			}
			out[key] = merge(lower, sub)
			continue
		}
		out[key] = v
	}
	return out
}

// ReadValues reads files of Helm values and merges them, later ones win.
func ReadValues(paths ...string) (map[string]any, error) {
	out := map[string]any{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read Helm values: %w", err)
		}
		var layer map[string]any
		if err := yaml.Unmarshal(data, &layer); err != nil {
			return nil, fmt.Errorf("read Helm values: %s: %w", path, err)
		}
		out = merge(out, layer)
	}
	return out, nil
}
