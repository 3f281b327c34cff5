package engine

import (
	"fmt"
	"strings"
	"time"
)

// Flow is a packet as the network's own observer reported it: the evidence for a verdict that was probed.
type Flow struct {
	Time        time.Time `json:"time"`
	Verdict     string    `json:"verdict"`               // DROPPED
	DropReason  string    `json:"drop_reason,omitempty"` // POLICY_DENIED: no rule allows it; POLICY_DENY: a rule denies it
	Direction   string    `json:"direction"`             // ingress or egress
	Protocol    string    `json:"protocol"`
	Source      FlowEnd   `json:"source"`
	Destination FlowEnd   `json:"destination"`
	Node        string    `json:"node"`
	AllowedBy   []string  `json:"allowed_by"` // policies
	DeniedBy    []string  `json:"denied_by"`
}

// FlowEnd is one end of a Flow.
type FlowEnd struct {
	Address  string   `json:"address"`
	Port     int      `json:"port,omitempty"`
	Pod      string   `json:"pod,omitempty"` // "namespace/name"
	Identity uint32   `json:"identity"`
	Labels   []string `json:"labels"`
}

func (e FlowEnd) String() string {
	name := e.Pod
	if name == "" {
		name = e.Address
	}
	if e.Port != 0 {
		name += fmt.Sprintf(":%d", e.Port)
	}
	return name
}

// String is one sentence about the flow.
func (f *Flow) String() string {
	text := fmt.Sprintf("Hubble saw the packet %s → %s (%s) %s at %s on node %s: %s",
		f.Source, f.Destination, f.Protocol, strings.ToLower(f.Verdict), f.Direction, f.Node, f.DropReason)
	if len(f.DeniedBy) > 0 {
		text += " by " + strings.Join(f.DeniedBy, ", ")
	}
	return text + "."
}
