package cilium

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// digests are the sha256 of the archives in Cilium's own chart repository. They reveal an archive that was replaced
// together with its index. 1.18.12, 1.19.6 and 1.20.0 are those of index.yaml in github.com/cilium/charts at commit
// 009b5e9582173785abfdedb3fda7a26d85ab7aca, and of the archives beside it. 1.20.2 is newer than that; it is what
// independent public projects that download https://helm.cilium.io/cilium-1.20.2.tgz check it for.
var digests = map[string]string{
	"1.18.12": "5923f9d9fcb11bc4692ad52353cc791b935d96e09ba0c535c5a8b88ea8a37572",
	"1.19.6":  "21c43cf53841f9ab0375047d95aa4c64051ea52bbd2c679416e6408f5f1c9179",
	"1.20.0":  "c5f013912360d1a334f44ef25f36da59ba3414cdb48f466ee12d0c4fdff27883",
	"1.20.2":  "b2afd87b7f75f875f92a14559f14f59b7babbb479d968e3fd625a20bf30ec20e",
}

// expectedDigest is the digest that the chart must have, in hex; empty if none is known.
func (s Source) expectedDigest() string {
	if s.Digest != "" {
		return strings.TrimPrefix(s.Digest, "sha256:")
	}
	if s.Ref != "" || strings.TrimSuffix(cmp.Or(s.Repo, Repository), "/") != Repository {
		return "" // a rebuilt or repackaged chart has another
	}
	return digests[strings.TrimPrefix(s.Version, "v")]
}

// tested lists the minor versions of Kubernetes that each minor version of Cilium is tested with: by its own
// end-to-end tests (Documentation/network/kubernetes/compatibility.rst of the release), and by labctl's
// (1.20 with 1.37).
var tested = map[string][]string{
	"1.18": {"1.30", "1.31", "1.32", "1.33"},
	"1.19": {"1.32", "1.33", "1.34", "1.35"},
	"1.20": {"1.33", "1.34", "1.35", "1.36", "1.37"},
}

// CheckCompatibility reports whether the versions were tested together; if not, why says so to people.
func CheckCompatibility(cilium, kubernetes string) (ok bool, why string) {
	versions, known := tested[minor(cilium)]
	switch {
	case !known:
		return false, fmt.Sprintf("labctl does not know Cilium %s", cilium)
	case !slices.Contains(versions, minor(kubernetes)):
		return false, fmt.Sprintf("Cilium %s is not tested with Kubernetes %s (tested: %s)",
			cilium, kubernetes, strings.Join(versions, ", "))
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
