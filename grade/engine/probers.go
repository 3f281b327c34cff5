package engine

import (
	"cmp"
	"slices"
)

// ProbeMethod is what probes are sent with, from the first choice to the last.
type ProbeMethod string

const (
	OwnImage           ProbeMethod = "own_image"           // the tools of the pod's own image
	EphemeralContainer ProbeMethod = "ephemeral_container" // a container with the tools, in the pod
	HelperPod          ProbeMethod = "helper_pod"          // a pod beside it, of the same identity
	NodeHelper         ProbeMethod = "node_helper"         // a pod in a node's network
)

// ProberReport says what the probes from one source were sent with. An app with several pods is one source; it
// is listed once for each method that was needed.
type ProberReport struct {
	From    string      `json:"from"` // as in the checks
	Prober  ProbeMethod `json:"prober"`
	Probes  int         `json:"probes"`
	Retries int         `json:"retries"` // probes that were repeated, because the first answer was not certain
}

// MergeProbers adds up two lists, by source and method. It leaves both as they are.
func MergeProbers(a, b []ProberReport) []ProberReport {
	if len(b) == 0 {
		return a
	}
	all := slices.Clone(a)
	for _, p := range b {
		i := slices.IndexFunc(all, func(q ProberReport) bool { return q.From == p.From && q.Prober == p.Prober })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i].Probes += p.Probes
		all[i].Retries += p.Retries
	}
	slices.SortFunc(all, func(a, b ProberReport) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Prober, b.Prober))
	})
	return all
}
