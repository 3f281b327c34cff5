package grade

// Rung is what probes are sent with, from the first choice to the last.
type Rung string

const (
	OwnImage           Rung = "own_image"           // the tools of the pod's own image
	EphemeralContainer Rung = "ephemeral_container" // a container with the tools, in the pod
	HelperPod          Rung = "helper_pod"          // a pod beside it, of the same identity
	NodeHelper         Rung = "node_helper"         // a pod in a node's network
)

// ProberReport says what the probes from one source were sent with. An app with several pods is one source; it
// is listed once for each rung that was needed.
type ProberReport struct {
	From    string `json:"from"` // as in the checks
	Prober  Rung   `json:"prober"`
	Probes  int    `json:"probes"`
	Retries int    `json:"retries"` // probes that were repeated, because the first answer was not certain
}

// Probing is an engine that sends probes.
type Probing interface {
	// Probers says what probes were sent with since it was last asked.
	Probers() []ProberReport
}

// ProbersOf asks an engine what it sent probes with; nil: it sends none.
func ProbersOf(eng Engine) []ProberReport {
	if p, ok := eng.(Probing); ok {
		return p.Probers()
	}
	return nil
}
