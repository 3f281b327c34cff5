package cilium

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	helmchart "helm.sh/helm/v3/pkg/chart"

	"github.com/labctl/labctl/cilium/kube"
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

// TestHelmEnds: an API server that never answers costs no more than the context.
func TestHelmEnds(t *testing.T) {
	t.Parallel()
	client := silentCluster(t)
	helm := NewHelm(client, "shop", slog.New(slog.DiscardHandler))
	chart := newChart(&helmchart.Chart{Metadata: &helmchart.Metadata{Name: Release, Version: "1.20.2"}}, "", "here")
	for name, call := range map[string]func(context.Context) error{
		"status":    func(ctx context.Context) error { _, err := helm.Status(ctx); return err },
		"install":   func(ctx context.Context) error { _, err := helm.Install(ctx, chart, nil); return err },
		"uninstall": helm.Uninstall,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late := errors.New("too late")
			ctx, cancel := context.WithTimeoutCause(context.Background(), 200*time.Millisecond, late)
			defer cancel()
			start := time.Now()
			if err := call(ctx); !errors.Is(err, late) {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// silentCluster is a cluster whose API server accepts requests and never answers.
func silentCluster(t *testing.T) *kube.Client {
	t.Helper()
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	}))
	t.Cleanup(func() { close(gone); server.Close() })
	client, err := kube.Parse(fmt.Appendf(nil, "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u}]}", server.URL))
	if err != nil {
		t.Fatal(err)
	}
	return client
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
