package cilium

import (
	"fmt"
	"slices"
	"strings"
)

// tested says for each minor version of Cilium which minor versions of Kubernetes it is tested with: by its
// own end-to-end tests (Documentation/network/kubernetes/compatibility.rst of the release), and by labctl's
// (1.20 with 1.37).
var tested = map[string][]string{
	"1.18": {"1.30", "1.31", "1.32", "1.33"},
	"1.20": {"1.33", "1.34", "1.35", "1.36", "1.37"},
}

// Tested says whether the versions were tested together; if not, why is a sentence for people.
func Tested(cilium, kubernetes string) (ok bool, why string) {
	versions, known := tested[minor(cilium)]
	switch {
	case !known:
		return false, fmt.Sprintf("Cilium %s is not among the versions that labctl knows", cilium)
	case !slices.Contains(versions, minor(kubernetes)):
		return false, fmt.Sprintf("Cilium %s is tested with Kubernetes %s, not with %s",
			cilium, strings.Join(versions, ", "), kubernetes)
	}
	return true, ""
}

// minor is "1.20" for "v1.20.2".
func minor(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}
