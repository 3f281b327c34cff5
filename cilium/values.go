package cilium

import (
	"fmt"
	"maps"
	"os"

	"sigs.k8s.io/yaml"
)

// Defaults are the values for every lab: Hubble with its relay, and one operator, since a second one cannot be
// scheduled on a single node.
func Defaults(relay bool) map[string]any {
	return map[string]any{
		"operator": map[string]any{"replicas": 1, "rollOutPods": true},
		"hubble": map[string]any{
			"enabled": true,
			"relay":   map[string]any{"enabled": relay, "rollOutPods": true},
		},
		// Restart pods for values that only change a ConfigMap.
		"rollOutCiliumPods": true,
		// When a namespace's labels change, its pods get new identities. By default Cilium starts at a random time
		// in the next 30 s, for large clusters, and then waits 5 s until other nodes know them. A lab has few
		// nodes, and a student waits.
		"extraConfig":               map[string]any{"identity-max-jitter": "100ms"},
		"identityChangeGracePeriod": "200ms",
		"envoy":                     map[string]any{"rollOutPods": true},
		// A shorter interval detects sooner that the agent has started.
		"startupProbe": map[string]any{"periodSeconds": 1, "failureThreshold": 600},
	}
}

// Merge merges layers of values; later ones win. Maps are merged, everything else is replaced. A null removes a key
// of earlier layers. The layers are not changed.
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
