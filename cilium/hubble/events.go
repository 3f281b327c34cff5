package hubble

import (
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// Numbers of the types of Cilium's events that become flows.
const (
	eventDrop          = 1
	eventCapture       = 3
	eventTrace         = 4
	eventPolicyVerdict = 5
	eventTraceSock     = 7
	eventL7            = 129
)

// eventNames are the names of the types, in the order in which they are listed for users.
var eventNames = []struct {
	number int32
	name   string
}{
	{eventDrop, "drop"}, {eventTrace, "trace"}, {eventPolicyVerdict, "policy-verdict"}, {eventL7, "l7"},
	{eventTraceSock, "trace-sock"}, {eventCapture, "capture"},
}

func eventTypes() []string {
	var names []string
	for _, e := range eventNames {
		names = append(names, e.name)
	}
	return names
}

func eventNumber(name string) (int32, bool) {
	for _, e := range eventNames {
		if e.name == name {
			return e.number, true
		}
	}
	return 0, false
}

// tracePoint is where a packet was seen, as people write it: to-endpoint.
func tracePoint(p flowpb.TraceObservationPoint) string { return dashed(p.String()) }

// tracePoints are the names of all points of observation.
func tracePoints() []string {
	var names []string
	for n := range flowpb.TraceObservationPoint_name {
		if p := flowpb.TraceObservationPoint(n); p != flowpb.TraceObservationPoint_UNKNOWN_POINT {
			names = append(names, tracePoint(p))
		}
	}
	slices.Sort(names)
	return names
}

// traceSubType is the subtype of trace events at the point with the given name. The numbers are those of the API, but
// Cilium counts TO_ENDPOINT as 0, which the API reserves for an unknown point.
func traceSubType(name string) (int32, bool) {
	for n := range flowpb.TraceObservationPoint_name {
		switch p := flowpb.TraceObservationPoint(n); {
		case p == flowpb.TraceObservationPoint_UNKNOWN_POINT || tracePoint(p) != name:
		case p == flowpb.TraceObservationPoint_TO_ENDPOINT:
			return 0, true
		default:
			return n, true
		}
	}
	return 0, false
}

func dashed(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }
