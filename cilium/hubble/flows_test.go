package hubble

import (
	"context"
	"errors"
	"testing"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// brokenObserver is a relay whose connection breaks with its context, before that ends the stream, or at once.
type brokenObserver struct {
	observerpb.ObserverClient
	atOnce bool
}

type brokenStream struct {
	grpc.ClientStream
	ctx context.Context
}

func (o brokenObserver) GetFlows(ctx context.Context, _ *observerpb.GetFlowsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[observerpb.GetFlowsResponse], error) {
	if o.atOnce {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return brokenStream{ctx: ctx}, nil
	}
	return brokenStream{ctx: ctx}, nil
}

func (s brokenStream) Recv() (*observerpb.GetFlowsResponse, error) {
	<-s.ctx.Done()
	return nil, status.Error(codes.Unavailable, "error reading from server: EOF")
}

// TestFollowEnds ends a stream of flows in both ways: with the caller's context, which is its normal end, and
// because the relay went away.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	ignore := func(*observerpb.GetFlowsResponse) error { return nil }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name   string
		ctx    context.Context
		relay  brokenObserver
		follow bool
		fails  bool
	}{
		{"the caller has enough", ended, brokenObserver{}, true, false},
		{"the relay goes away", t.Context(), brokenObserver{atOnce: true}, true, true},
		{"an answer that has an end is cut off", ended, brokenObserver{}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := &Client{observer: tc.relay}
			err := c.Flows(tc.ctx, Query{Follow: tc.follow}, ignore)
			if (err != nil) != tc.fails {
				t.Errorf("error %v, want one: %v", err, tc.fails)
			}
			if errors.Is(err, context.Canceled) {
				t.Errorf("%v hides what went wrong", err)
			}
		})
	}
}
