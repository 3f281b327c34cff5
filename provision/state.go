package provision

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

// stateFormat is the version of state.json. A newer one is refused, an older one is read.
const stateFormat = 1

// State is the content of state.json: what an instance was created from, and how far it got. It does not repeat
// what the cluster shows.
type State struct {
	FormatVersion int    `json:"format_version"`
	Name          string `json:"name"`
	// random; distinguishes the instance from others of its name in a shared cluster
	ID      string    `json:"id,omitempty"`
	Created time.Time `json:"created"`
	Tool    string    `json:"labctl_version"` // that wrote it last

	Lab LabRef `json:"lab"`
	// AppImage is the image that the demo apps were deployed with. Reset and grading use it, even if the site's
	// settings change.
	AppImage string       `json:"app_image,omitempty"`
	Cluster  ClusterState `json:"cluster"`

	Phases   map[string]PhaseState    `json:"phases"`
	Cilium   CiliumState              `json:"cilium"`
	External map[string]ExternalState `json:"external"` // by the external's name
	Baseline []Connection             `json:"baseline"`
	Before   *Snapshot                `json:"before,omitempty"`
	// Suspended are the student's policies that an up has deleted while it measures the baseline, and restores.
	Suspended []*unstructured.Unstructured `json:"suspended_policies,omitempty"`

	Task     string              `json:"task,omitempty"`     // that was chosen; empty: the first that is not done
	Progress map[string]Progress `json:"progress,omitempty"` // by task
}

// forgetCluster resets what was done in a cluster that is gone, or about to be deleted.
func (st *State) forgetCluster() {
	for _, name := range []string{phaseImages, phaseExternals, phaseCilium, phaseApps, phaseCanary, phaseBaseline} {
		delete(st.Phases, name)
	}
	st.Cluster.UID, st.Cluster.Complete, st.Cluster.Started = "", false, nil
	st.Baseline, st.Before, st.Suspended, st.Cilium = []Connection{}, nil, nil, CiliumState{}
}

// upCommand is the command that recreates the instance.
func (st *State) upCommand() string {
	command := "labctl up " + st.Lab.Source
	if st.Name != st.Lab.Name {
		command += " --instance " + st.Name
	}
	return command
}

// recreateCommand is the command that deletes the instance's cluster and creates it again.
func (st *State) recreateCommand() string { return st.upCommand() + " --recreate" }

// LabRef says which lab an instance belongs to and how to read it again.
type LabRef struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Source   string            `json:"source"` // a shipped lab's name or an absolute directory
	Digest   string            `json:"digest"`
	Vars     map[string]string `json:"vars,omitempty"`
	VarFiles []string          `json:"var_files,omitempty"`
}

// ClusterState is what was requested from the provider. UID distinguishes the cluster from another of the same name.
type ClusterState struct {
	Provider string         `json:"provider"`
	Block    map[string]any `json:"block"` // the settings of the lab's cluster block
	// ResolvedSettings are settings that came from the user's environment when the cluster was created, such as the
	// project of the credentials. The environment may change; the cluster does not move.
	ResolvedSettings map[string]any `json:"pinned,omitempty"`
	Name             string         `json:"name"`
	// of the namespace kube-system; empty until the API answered
	UID      string `json:"uid,omitempty"`
	Complete bool   `json:"complete"` // it was created completely, and must not be recreated
	// Started is when each node was started with whose pods the lab was last ready.
	Started map[string]time.Time `json:"nodes_started,omitempty"`
	Adopted bool                 `json:"adopted,omitempty"` // --adopt: objects that were there before may be changed
	// InstallCilium: Cilium may be installed in a cluster that has another network.
	InstallCilium bool   `json:"install_cilium,omitempty"`
	Context       string `json:"context,omitempty"` // in the instance's kubeconfig
	// Merged are the contexts of this cluster in the user's kubeconfig files, which down removes.
	Merged []kube.MergedContext `json:"merged_kubeconfigs,omitempty"`
	// OldMerged is the file that an earlier labctl merged Context into. In a cluster that is not labctl's, that may
	// be the user's own context, and is left alone.
	OldMerged string `json:"merged_kubeconfig,omitempty"`
}

func (c ClusterState) block() labs.Cluster {
	settings := maps.Clone(c.Block)
	if settings == nil {
		settings = map[string]any{}
	}
	maps.Copy(settings, c.ResolvedSettings)
	return labs.Cluster{Provider: c.Provider, Settings: settings}
}

// PhaseState is how far a phase got.
type PhaseState struct {
	Status PhaseStatus `json:"status"`
	// Inputs is a digest of the phase's inputs. If it differs, the phase runs again.
	Inputs   string    `json:"inputs,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// PhaseStatus is how far a phase got; the zero value: it never began.
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
	Definitions []string `json:"definitions_before"` // null: not looked at yet
}

// ExternalState says what answers for an external.
type ExternalState struct {
	StandIn bool     `json:"stand_in"`
	Addrs   []string `json:"addresses"`
}

// Connection is a connection that the lab's objectives use, tried without any policy.
type Connection struct {
	From     string          `json:"from"` // namespace/app
	To       string          `json:"to"`   // as dialled: "backend.default:80"
	Protocol string          `json:"protocol"`
	Verdict  verdict.Verdict `json:"verdict"`
	Detail   string          `json:"detail,omitempty"`
}
