package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Differs finds a field of want's spec that live lacks or has with another value, and returns live's value. Fields
// that only live has are no difference, since the API server adds some, unless they change what a pod runs or how it
// is reached. Maps of labels must be equal, since policies select by them.
func Differs(want, live *unstructured.Unstructured) (field, got string) {
	if field, got := differs("spec", want.Object["spec"], live.Object["spec"]); field != "" {
		return field, got
	}
	if want.GetKind() == "Service" {
		return serviceDiffers(want, live)
	}
	return "", ""
}

// serviceDiffers finds a type of Service that differs where want leaves it to the API server.
func serviceDiffers(want, live *unstructured.Unstructured) (field, got string) {
	spec := func(obj *unstructured.Unstructured, field string) string {
		value, _, _ := unstructured.NestedString(obj.Object, "spec", field)
		return value
	}
	if typ := spec(live, "type"); spec(want, "type") == "" && typ != "" && typ != "ClusterIP" {
		return "spec.type", text(typ)
	}
	if addr := spec(live, "clusterIP"); spec(want, "clusterIP") == "" && addr == "None" {
		return "spec.clusterIP", text(addr)
	}
	return "", ""
}

// PodDiffers is Differs for a pod and the spec that it was made from. It compares only what changes what the pod runs
// or how it is reached: controllers and admission set much else.
func PodDiffers(want, live map[string]any) (field, got string) {
	return differs("spec", only(want), only(live))
}

// only keeps the decisive fields of a pod's spec, and of its containers.
func only(spec map[string]any) map[string]any {
	kept := map[string]any{}
	for _, name := range decisive {
		if v, ok := spec[name]; ok {
			kept[name] = v
		}
	}
	containers, _ := spec["containers"].([]any)
	var list []any
	for _, c := range containers {
		fields, _ := c.(map[string]any)
		list = append(list, only(fields))
	}
	if list != nil {
		kept["containers"] = list
	}
	return kept
}

// decisive are fields of pods and containers that change what a pod runs or how it is reached, and that the API server
// leaves out where they are not set.
var decisive = []string{
	"hostNetwork", "hostAliases", "dnsConfig", "command", "args", "readinessProbe", "livenessProbe", "startupProbe",
	"lifecycle",
}

// inPod says whether a path is that of a pod's spec or of a container.
func inPod(path string) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	return last == "spec" || strings.HasPrefix(last, "containers[")
}

func differs(path string, want, live any) (field, got string) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		if !ok {
			return path, text(live)
		}
		if name := path[strings.LastIndexByte(path, '.')+1:]; (name == "labels" || name == "matchLabels" ||
			name == "selector") && len(have) != len(want) {
			return path, text(live)
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if field, got := differs(path+"."+key, want[key], have[key]); field != "" {
				return field, got
			}
		}
		if !inPod(path) {
			break
		}
		for _, key := range decisive {
			if v, added := have[key]; added && want[key] == nil && v != false {
				return path + "." + key, text(v)
			}
		}
	case []any:
		have, ok := live.([]any)
		if !ok || len(have) != len(want) {
			return path, text(live)
		}
		for i := range want {
			if field, got := differs(fmt.Sprintf("%s[%d]", path, i), want[i], have[i]); field != "" {
				return field, got
			}
		}
	default:
		if text(want) != text(live) {
			return path, text(live)
		}
	}
	return "", ""
}

func text(v any) string {
	if v == nil {
		return "not set"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const most = 120
	if len(data) > most {
		return string(data[:most]) + "…"
	}
	return string(data)
}
