package hubble

import (
	"context"
	"errors"
	"fmt"
	"slices"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// predicate decides about a flow.
type predicate func(*flowpb.Flow) bool

// matcher decides about flows as Hubble's API documents it: a flow passes if it matches any filter of the first list,
// unless that is empty, and none of the second.
type matcher struct{ allow, deny []predicate }

// matcher compiles the filters. Its error names the value or the field that is not understood.
func (q *Query) matcher(ctx context.Context) (*matcher, error) {
	allow, err := compileAll(ctx, q.Allow)
	if err != nil {
		return nil, err
	}
	deny, err := compileAll(ctx, q.Deny)
	if err != nil {
		return nil, err
	}
	return &matcher{allow, deny}, nil
}

// flow reports whether a message passes the filters. Messages that are no flows, such as the state of nodes, do.
func (m *matcher) flow(res *observerpb.GetFlowsResponse) bool {
	f := res.GetFlow()
	if f == nil {
		return true
	}
	matches := func(p predicate) bool { return p(f) }
	return (len(m.allow) == 0 || slices.ContainsFunc(m.allow, matches)) && !slices.ContainsFunc(m.deny, matches)
}

func compileAll(ctx context.Context, filters []*flowpb.FlowFilter) ([]predicate, error) {
	var all []predicate
	for _, f := range filters {
		p, err := compile(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// compile is true for flows that match every field of a filter. A field that is not known is an error: to ignore it
// would show flows that were not asked for.
func compile(ctx context.Context, filter *flowpb.FlowFilter) (predicate, error) {
	message := filter.ProtoReflect()
	if len(message.GetUnknown()) > 0 {
		return nil, errors.New("a filter has fields that labctl does not know")
	}
	var (
		all []predicate
		bad error
	)
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		build, ok := matchers[field.Name()]
		if !ok {
			bad = fmt.Errorf("filter %s: labctl does not know this field", field.Name())
			return false
		}
		p, err := build(ctx, filter)
		if err != nil {
			bad = fmt.Errorf("filter %s: %w", field.Name(), err)
			return false
		}
		all = append(all, p)
		return true
	})
	if bad != nil {
		return nil, bad
	}
	return func(f *flowpb.Flow) bool {
		return !slices.ContainsFunc(all, func(p predicate) bool { return !p(f) })
	}, nil
}

// builder makes the predicate of one field of a filter.
type builder func(context.Context, *flowpb.FlowFilter) (predicate, error)

// matchers are the fields of a filter by their names in the API. What is said of an end is the same for both ends.
var matchers = map[protoreflect.Name]builder{
	"source_ip":           field((*flowpb.FlowFilter).GetSourceIp, addressIn(sourceIP)),
	"destination_ip":      field((*flowpb.FlowFilter).GetDestinationIp, addressIn(destinationIP)),
	"source_ip_xlated":    field((*flowpb.FlowFilter).GetSourceIpXlated, addressIn(translatedIP)),
	"source_pod":          field((*flowpb.FlowFilter).GetSourcePod, named(sourcePod)),
	"destination_pod":     field((*flowpb.FlowFilter).GetDestinationPod, named(destinationPod)),
	"source_service":      field((*flowpb.FlowFilter).GetSourceService, named(sourceService)),
	"destination_service": field((*flowpb.FlowFilter).GetDestinationService, named(destinationService)),
	"source_fqdn":         field((*flowpb.FlowFilter).GetSourceFqdn, domain((*flowpb.Flow).GetSourceNames)),
	"destination_fqdn":    field((*flowpb.FlowFilter).GetDestinationFqdn, domain((*flowpb.Flow).GetDestinationNames)),
	"source_label":        field((*flowpb.FlowFilter).GetSourceLabel, labelled(sourceLabels)),
	"destination_label":   field((*flowpb.FlowFilter).GetDestinationLabel, labelled(destinationLabels)),
	"node_labels":         field((*flowpb.FlowFilter).GetNodeLabels, labelled((*flowpb.Flow).GetNodeLabels)),
	"source_workload":     field((*flowpb.FlowFilter).GetSourceWorkload, ofWorkload((*flowpb.Flow).GetSource)),
	"destination_workload": field((*flowpb.FlowFilter).GetDestinationWorkload,
		ofWorkload((*flowpb.Flow).GetDestination)),
	"source_cluster_name":      field((*flowpb.FlowFilter).GetSourceClusterName, equal(sourceCluster)),
	"destination_cluster_name": field((*flowpb.FlowFilter).GetDestinationClusterName, equal(destinationCluster)),
	"source_port":              field((*flowpb.FlowFilter).GetSourcePort, portIs(sourcePort)),
	"destination_port":         field((*flowpb.FlowFilter).GetDestinationPort, portIs(destinationPort)),
	"source_identity":          field((*flowpb.FlowFilter).GetSourceIdentity, equal(sourceIdentity)),
	"destination_identity":     field((*flowpb.FlowFilter).GetDestinationIdentity, equal(destinationIdentity)),

	"uuid":              field((*flowpb.FlowFilter).GetUuid, equal((*flowpb.Flow).GetUuid)),
	"verdict":           field((*flowpb.FlowFilter).GetVerdict, equal((*flowpb.Flow).GetVerdict)),
	"drop_reason_desc":  field((*flowpb.FlowFilter).GetDropReasonDesc, always(hasReason)),
	"traffic_direction": field((*flowpb.FlowFilter).GetTrafficDirection, equal((*flowpb.Flow).GetTrafficDirection)),
	"interface":         field((*flowpb.FlowFilter).GetInterface, always(onInterface)),
	"event_type":        field((*flowpb.FlowFilter).GetEventType, always(ofEvent)),
	"protocol":          field((*flowpb.FlowFilter).GetProtocol, speaks),
	"reply":             field((*flowpb.FlowFilter).GetReply, always(isReply)),
	"tcp_flags":         field((*flowpb.FlowFilter).GetTcpFlags, always(hasTCPFlags)),
	"ip_version":        field((*flowpb.FlowFilter).GetIpVersion, equal(ipVersionOf)),
	"encrypted": field((*flowpb.FlowFilter).GetEncrypted,
		equal(func(f *flowpb.Flow) bool { return f.GetIP().GetEncrypted() })),
	"node_name": field((*flowpb.FlowFilter).GetNodeName, onNode),
	"trace_id": field((*flowpb.FlowFilter).GetTraceId,
		equal(func(f *flowpb.Flow) string { return f.GetTraceContext().GetParent().GetTraceId() })),
	"ip_trace_id": field((*flowpb.FlowFilter).GetIpTraceId,
		equal(func(f *flowpb.Flow) uint64 { return f.GetIpTraceId().GetTraceId() })),

	"dns_query":        field((*flowpb.FlowFilter).GetDnsQuery, matching(dnsQuery)),
	"http_status_code": field((*flowpb.FlowFilter).GetHttpStatusCode, httpStatus),
	"http_method":      field((*flowpb.FlowFilter).GetHttpMethod, always(httpMethod)),
	"http_path":        field((*flowpb.FlowFilter).GetHttpPath, matching(httpPath)),
	"http_url":         field((*flowpb.FlowFilter).GetHttpUrl, matching(httpURL)),
	"http_header":      field((*flowpb.FlowFilter).GetHttpHeader, always(httpHeader)),

	"experimental": celExpressions,
}

// field is true for flows that match any value of a list. one makes the predicate of a value.
func field[T any](list func(*flowpb.FlowFilter) []T, one func(T) (predicate, error)) builder {
	return func(_ context.Context, filter *flowpb.FlowFilter) (predicate, error) {
		var values []predicate
		for _, value := range list(filter) {
			p, err := one(value)
			if err != nil {
				return nil, err
			}
			values = append(values, p)
		}
		return anyPredicate(values), nil
	}
}

func anyPredicate(all []predicate) predicate {
	return func(f *flowpb.Flow) bool {
		return slices.ContainsFunc(all, func(p predicate) bool { return p(f) })
	}
}

// equal compares a value with what a flow has.
func equal[T comparable](of func(*flowpb.Flow) T) func(T) (predicate, error) {
	return always(func(f *flowpb.Flow, want T) bool { return of(f) == want })
}

// always is for values of which none is wrong.
func always[T any](matches func(*flowpb.Flow, T) bool) func(T) (predicate, error) {
	return func(want T) (predicate, error) {
		return func(f *flowpb.Flow) bool { return matches(f, want) }, nil
	}
}
