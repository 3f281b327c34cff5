package hubble

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Query selects flows. The zero value selects all that Hubble has kept.
type Query struct {
	Allow []*flowpb.FlowFilter // a flow must match one of these, unless there are none
	Deny  []*flowpb.FlowFilter // and none of these

	Since  time.Time
	Until  time.Time
	Last   int  // the newest n; 0: all between Since and Until
	First  int  // the oldest n, if Last is 0
	Follow bool // continue with new flows
}

// request is the query as a request to Hubble.
func (q *Query) request() *observerpb.GetFlowsRequest {
	req := &observerpb.GetFlowsRequest{
		Follow: q.Follow, Whitelist: q.Allow, Blacklist: q.Deny,
		Number: uint64(max(q.Last, q.First, 0)), First: q.Last == 0 && q.First > 0,
	}
	if !q.Since.IsZero() {
		req.Since = timestamppb.New(q.Since)
	}
	if !q.Until.IsZero() {
		req.Until = timestamppb.New(q.Until)
	}
	if req.Number == 0 && !q.Follow && req.Since == nil {
		req.Number = math.MaxUint64 // without a number and a time, the server would send nothing
	}
	return req
}

// Check returns an error if Hubble would not understand a filter.
func (q *Query) Check(ctx context.Context) error {
	_, err := q.matcher(ctx)
	return err
}

// Flows calls fn for each flow of the query, ordered by time. With Follow it continues until ctx ends, which is
// then no error. The relay also reports nodes that join or leave, and lost events; fn gets them too. An error of fn
// ends it.
func (c *Client) Flows(ctx context.Context, q Query, fn func(*observerpb.GetFlowsResponse) error) error {
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream when fn does not want more
	stream, err := c.observer.GetFlows(streamCtx, q.request())
	if err != nil {
		return fmt.Errorf("read flows from the Hubble relay: %w", plain(err))
	}
	emit := fn
	var kept []*observerpb.GetFlowsResponse
	// The relay returns the last or first n flows of every node, so the list is cut when it is complete.
	cut := q.Last+q.First > 0 && !q.Follow
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
	if !cut {
		return nil
	}
	slices.SortStableFunc(kept, func(a, b *observerpb.GetFlowsResponse) int {
		return cmp.Compare(a.GetTime().AsTime().UnixNano(), b.GetTime().AsTime().UnixNano())
	})
	return q.cut(kept, fn)
}

// cut calls fn for the first or last flows of what is sorted by time; messages that are no flows do not count.
func (q *Query) cut(all []*observerpb.GetFlowsResponse, fn func(*observerpb.GetFlowsResponse) error) error {
	if q.Last > 0 {
		all = newest(all, q.Last)
	}
	shown := 0
	for _, res := range all {
		if res.GetFlow() != nil {
			if shown++; q.Last == 0 && q.First > 0 && shown > q.First {
				return nil
			}
		}
		if err := fn(res); err != nil {
			return err
		}
	}
	return nil
}

// newest cuts what is sorted by time to the last n flows.
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

// ReadFlows calls fn for each flow of the query in a file, in the file's order. The file is what
// `labctl observe -o json` or `hubble observe -o jsonpb` wrote.
func ReadFlows(ctx context.Context, in io.Reader, q Query, fn func(*observerpb.GetFlowsResponse) error) error {
	matches, err := q.matcher(ctx)
	if err != nil {
		return err
	}
	var kept []*observerpb.GetFlowsResponse
	lines := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			res := new(observerpb.GetFlowsResponse)
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, res); err != nil {
				return fmt.Errorf("line %d is no flow of Hubble's: %w", n, err)
			}
			if q.during(res.GetTime().AsTime()) && matches.flow(res) {
				kept = append(kept, res)
			}
		}
		if err != nil {
			return q.cut(kept, fn)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (q *Query) during(t time.Time) bool {
	return (q.Since.IsZero() || !t.Before(q.Since)) && (q.Until.IsZero() || !t.After(q.Until))
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
