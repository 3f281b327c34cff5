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
// that only live has are no difference, since the API server adds some; but maps of labels must be equal, since
// policies select by them.
func Differs(want, live *unstructured.Unstructured) (field, got string) {
	return differs("spec", want.Object["spec"], live.Object["spec"])
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
