package cilium

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestFetchEnds: a repository or registry that never answers, or never ends its answer, costs the deadline and no more.
func TestFetchEnds(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "trickle") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	}))
	t.Cleanup(func() { close(gone); server.Close() })
	host := strings.TrimPrefix(server.URL, "http://")
	for name, source := range map[string]Source{
		"repository":                   {Repo: server.URL, Version: "1.20.2"},
		"repository that sends slowly": {Repo: server.URL + "/trickle", Version: "1.20.2"},
		"registry":                     {Ref: "oci://" + host + "/charts/cilium", Version: "1.20.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late := errors.New("not done after 300ms (timeout_cilium)")
			ctx, cancel := context.WithTimeoutCause(context.Background(), 300*time.Millisecond, late)
			defer cancel()
			start := time.Now()
			_, err := source.Fetch(ctx)
			if !errors.Is(err, late) || !strings.Contains(err.Error(), "fetch the chart") {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestUntilDone: Helm's calls that know no context do not outlast it.
func TestUntilDone(t *testing.T) {
	t.Parallel()
	if got, err := untilDone(context.Background(), func() (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	release := make(chan struct{})
	defer close(release)
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if _, err := untilDone(ctx, func() (int, error) { <-release; return 0, nil }); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
}
