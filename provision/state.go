package provision

import (
	"maps"
	"time"

	"github.com/labctl/labctl/labs"
)

// stateFormat is the version of state.json. A newer one is refused, an older one is read.
const stateFormat = 1

// State is what is known of an instance: what was asked for and how far it got. It is the content of
// state.json. What can be seen in the cluster is not in it.
type State struct {
	FormatVersion int       `json:"format_version"`
	Name          string    `json:"name"`
	Created       time.Time `json:"created"`
	Tool          string    `json:"labctl_version"` // that wrote it last

	Lab LabRef `json:"lab"`
	// AppImage is what the demo apps were deployed with: whoever restores or compares them goes by it, whatever
	// the site's settings say by then.
	AppImage string       `json:"app_image,omitempty"`
	Cluster  ClusterState `json:"cluster"`

	Phases   map[string]PhaseState    `json:"phases"`
	Cilium   CiliumState              `json:"cilium"`
	External map[string]ExternalState `json:"external"` // by the external's name
	Baseline []Connection             `json:"baseline"`
	Before   *Before                  `json:"before,omitempty"`

	Task     string              `json:"task,omitempty"`     // that the student was moved on to; empty: the first that is not done
	Progress map[string]Progress `json:"progress,omitempty"` // by task
}

// forgetCluster takes out what was done in a cluster that is gone, or is about to be.
func (st *State) forgetCluster() {
	for _, name := range []string{phaseImages, phaseExternals, phaseCilium, phaseApps, phaseCanary, phaseBaseline} {
		delete(st.Phases, name)
	}
	st.Cluster.UID, st.Cluster.Complete = "", false
	st.Baseline, st.Before, st.Cilium = []Connection{}, nil, CiliumState{}
}

// upCommand is the command that brings the instance up again.
func (st *State) upCommand() string {
	command := "labctl up " + st.Lab.Source
	if st.Name != st.Lab.Name {
		command += " --name " + st.Name
	}
	return command
}

// LabRef says which lab an instance is of and how to read it again.
type LabRef struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Source   string            `json:"source"` // a shipped lab's name or an absolute directory
	Digest   string            `json:"digest"`
	Vars     map[string]string `json:"vars,omitempty"`
	VarFiles []string          `json:"var_files,omitempty"`
}

// ClusterState is what was asked of the provider. UID tells the cluster from another of the same name.
type ClusterState struct {
	Provider string         `json:"provider"`
	Block    map[string]any `json:"block"` // the settings of the lab's cluster block
	// Pinned are settings that came from the user's surroundings when the cluster was made, such as the project of the
	// credentials: they may be others by now, and the cluster is where it is.
	Pinned   map[string]any `json:"pinned,omitempty"`
	Name     string         `json:"name"`
	UID      string         `json:"uid,omitempty"`     // of the namespace kube-system; empty until the API answered
	Complete bool           `json:"complete"`          // it was made to its end, and is not to be made anew
	Adopted  bool           `json:"adopted,omitempty"` // --adopt: what was there before may be changed
	Merged   string         `json:"merged_kubeconfig,omitempty"`
	Context  string         `json:"context,omitempty"` // in the instance's kubeconfig
}

func (c ClusterState) block() labs.Cluster {
	settings := maps.Clone(c.Block)
	if settings == nil {
		settings = map[string]any{}
	}
	maps.Copy(settings, c.Pinned)
	return labs.Cluster{Provider: c.Provider, Settings: settings}
}

// PhaseState is how far a phase got.
type PhaseState struct {
	Status PhaseStatus `json:"status"`
	// Inputs is a digest of what the phase works from; when it differs, the phase is done again.
	Inputs   string    `json:"inputs,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// PhaseStatus says how far a phase got; the zero value: it never began.
type PhaseStatus string

const (
	PhaseRunning PhaseStatus = "running" // or was killed
	PhaseDone    PhaseStatus = "done"
	PhaseFailed  PhaseStatus = "failed"
)

// CiliumState is what was installed.
type CiliumState struct {
	Version   string `json:"version,omitempty"`
	Chart     string `json:"chart,omitempty"` // where it came from
	Installed bool   `json:"installed"`       // by labctl, and so removed by it
	// Definitions are the resource definitions of Cilium's group that were in the cluster before.
	Definitions []string `json:"definitions_before"` // null: nobody has looked yet
}

// ExternalState says what takes the place of an external.
type ExternalState struct {
	StandIn bool     `json:"stand_in"`
	Addrs   []string `json:"addresses"`
}

// Connection is one connection that the lab's objectives use, tried with no policy in force.
type Connection struct {
	From     string       `json:"from"` // namespace/app
	To       string       `json:"to"`   // as dialled: "backend.default:80"
	Protocol string       `json:"protocol"`
	Verdict  labs.Verdict `json:"verdict"`
	Detail   string       `json:"detail,omitempty"`
}
