package hubble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Query selects flows. Empty fields select all; a flow must match every field, and one of its values.
type Query struct {
	From []string // source pods: "namespace/name", where the name is a prefix; "namespace/" is all of it
	To   []string // destination pods
	Pods []string // either end

	Verdicts  []string // forwarded, dropped, error, audit, redirected, traced, translated
	Protocols []string // tcp, udp, icmp, sctp, dns, http, …: Hubble's names
	Ports     []int    // destination

	Since  time.Time
	Until  time.Time
	Last   int  // the newest n; 0: all between Since and Until
	Follow bool // continue with new flows
}

// Verdicts are the names that a Query accepts, as in Hubble.
func Verdicts() []string {
	var names []string
	for number, name := range flowpb.Verdict_name {
		if number != int32(flowpb.Verdict_VERDICT_UNKNOWN) {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return names
}

// request is the query as a request to Hubble. The filters of the list are alternatives, so "either end" needs two.
func (q Query) request() (*observerpb.GetFlowsRequest, error) {
	filter := func() (*flowpb.FlowFilter, error) {
		f := &flowpb.FlowFilter{
			SourcePod:      slices.Clone(q.From),
			DestinationPod: slices.Clone(q.To),
			Protocol:       slices.Clone(q.Protocols),
		}
		for _, name := range q.Verdicts {
			number, ok := flowpb.Verdict_value[strings.ToUpper(name)]
			if !ok || number == int32(flowpb.Verdict_VERDICT_UNKNOWN) {
				return nil, fmt.Errorf("verdict %q: must be one of %s", name, strings.Join(Verdicts(), ", "))
			}
			f.Verdict = append(f.Verdict, flowpb.Verdict(number))
		}
		for _, port := range q.Ports {
			f.DestinationPort = append(f.DestinationPort, strconv.Itoa(port))
		}
		return f, nil
	}
	req := &observerpb.GetFlowsRequest{Follow: q.Follow, Number: uint64(max(q.Last, 0))}
	if !q.Since.IsZero() {
		req.Since = timestamppb.New(q.Since)
	}
	if !q.Until.IsZero() {
		req.Until = timestamppb.New(q.Until)
	}
	first, err := filter()
	if err != nil {
		return nil, err
	}
	req.Whitelist = []*flowpb.FlowFilter{first}
	if len(q.Pods) > 0 {
		second, _ := filter() // the first was fine, this one is the same
		// A filter has one list of sources: pods that are given both ways must be in both.
		first.SourcePod, second.DestinationPod = narrow(first.SourcePod, q.Pods), narrow(second.DestinationPod, q.Pods)
		req.Whitelist = append(req.Whitelist, second)
	}
	return req, nil
}

// narrow intersects two lists of pod prefixes; an empty first list means everything.
func narrow(all, to []string) []string {
	if len(all) == 0 {
		return slices.Clone(to)
	}
	var both []string
	for _, a := range all {
		for _, b := range to {
			switch {
			case strings.HasPrefix(a, b):
				both = append(both, a)
			case strings.HasPrefix(b, a):
				both = append(both, b)
			}
		}
	}
	if len(both) == 0 {
		both = []string{"/"} // no pod has no namespace and no name
	}
	slices.Sort(both)
	return slices.Compact(both)
}

// Flows calls fn for each flow of the query, ordered by time. With Follow it continues until ctx ends, which is
// then no error. The relay also reports nodes that join or leave, and lost events; fn gets them too. An error of fn
// ends it.
func (c *Client) Flows(ctx context.Context, q Query, fn func(*observerpb.GetFlowsResponse) error) error {
	req, err := q.request()
	if err != nil {
		return err
	}
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream when fn does not want more
	stream, err := c.observer.GetFlows(streamCtx, req)
	if err != nil {
		return fmt.Errorf("read flows from the Hubble relay: %w", plain(err))
	}
	emit := fn
	var kept []*observerpb.GetFlowsResponse
	// The relay returns the last n flows of every node, so the list is cut when it is complete.
	cut := q.Last > 0 && !q.Follow
	if cut {
		emit = func(res *observerpb.GetFlowsResponse) error {
			kept = append(kept, res)
			return nil
		}
	}
	for {
		res, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// The forward ends with ctx too, and the stream may report that as a broken connection.
			if q.Follow && ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read flows from the Hubble relay: %w", plain(err))
		}
		if err := emit(res); err != nil {
			return err
		}
	}
	if cut {
		slices.SortStableFunc(kept, func(a, b *observerpb.GetFlowsResponse) int {
			return cmp.Compare(a.GetTime().AsTime().UnixNano(), b.GetTime().AsTime().UnixNano())
		})
		for _, res := range newest(kept, q.Last) {
			if err := fn(res); err != nil {
				return err
			}
		}
	}
	return nil
}

// newest cuts what is sorted by time to the last n flows; messages that are no flows do not count.
func newest(all []*observerpb.GetFlowsResponse, n int) []*observerpb.GetFlowsResponse {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].GetFlow() != nil {
			if n--; n == 0 {
				return all[i:]
			}
		}
	}
	return all
}

// plain reduces a gRPC status to its message, without "rpc error: code = …".
func plain(err error) error {
	if s, ok := status.FromError(err); ok && s.Message() != "" {
		if s.Code() == codes.Canceled {
			return context.Canceled
		}
		if s.Code() == codes.DeadlineExceeded {
			return context.DeadlineExceeded
		}
		return errors.New(s.Message())
	}
	return err
}
