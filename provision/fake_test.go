package provision

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/labstest"
)

// fakeProvider is a Provider whose clusters are made of nothing. Its fields say how it behaves; calls says what
// it was asked to do.
type fakeProvider struct {
	stays    bool // not ephemeral
	remote   bool // not local
	values   func(Found) map[string]any
	findings []Finding
	found    Found
	findErr  error
	create   func(ctx context.Context, reached func(Milestone)) error // nil: at once
	deleted  error                                                    // what Delete returns
	api      string                                                   // address of the API server

	mu    sync.Mutex
	calls []string
}

func (f *fakeProvider) called(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
}

func (f *fakeProvider) Name() string           { return "fake" }
func (f *fakeProvider) Ephemeral() bool        { return !f.stays }
func (f *fakeProvider) Timeout() time.Duration { return time.Minute }
func (f *fakeProvider) Local() bool            { return !f.remote }
func (f *fakeProvider) Values(context.Context, Cluster) (map[string]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.values == nil {
		return nil, nil
	}
	return f.values(f.found), nil
}
func (f *fakeProvider) Preflight(context.Context, Cluster) []Finding { return f.findings }

func (f *fakeProvider) Find(context.Context, Cluster) (Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found.State == "" {
		return Found{State: Absent}, f.findErr
	}
	return f.found, f.findErr
}

func (f *fakeProvider) Create(ctx context.Context, _ Cluster, progress CreateProgress) error {
	f.called("create")
	f.mu.Lock()
	f.found.State = Running
	f.mu.Unlock()
	if f.create != nil {
		return f.create(ctx, progress.Milestone)
	}
	progress.Milestone(NodesUp)
	progress.Milestone(APIUp)
	return nil
}

func (f *fakeProvider) Delete(context.Context, Cluster) error {
	f.called("delete")
	if f.deleted == nil {
		f.mu.Lock()
		f.found.State = Absent
		f.mu.Unlock()
	}
	return f.deleted
}

func (f *fakeProvider) Kubeconfig(context.Context, Cluster) ([]byte, error) {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: fake
clusters: [{name: fake, cluster: {server: %q}}]
users: [{name: fake, user: {}}]
contexts: [{name: fake, context: {cluster: fake, user: fake}}]
`, f.api), nil
}

// apiServer answers what tells a cluster from another: that it is ready, and its UID.
func apiServer(t *testing.T, uid string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /api/v1/namespaces/kube-system", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": %q}}`, uid)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// start is when the tests' clock begins; each look at it is a second later.
var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// events collects what people would see.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) report(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// of are the kinds of a phase's events but for its steps.
func (e *events) of(phase string) (kinds []EventKind) {
	for _, ev := range e.all {
		if ev.Phase == phase && ev.Kind != Step {
			kinds = append(kinds, ev.Kind)
		}
	}
	return kinds
}

// newManager makes a Manager with a store of its own, whose clusters are the provider's.
func newManager(t *testing.T, p Provider) (*Manager, *events) {
	t.Helper()
	seen := &events{}
	var mu sync.Mutex
	now := start
	return &Manager{
		Store:    &Store{Dir: t.TempDir()},
		Settings: DefaultSettings(),
		Providers: map[string]NewProvider{
			"fake": func(labs.Cluster, *Settings, *slog.Logger) (Provider, error) { return p, nil },
		},
		Report: seen.report,
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
	}, seen
}

// loadLab reads a lab from source, as the commands do.
func loadLab(t *testing.T, source string, files ...string) *labs.Lab {
	t.Helper()
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(source)}}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	lab, diags := labs.Load(fsys, "lab", labs.LoadOptions{})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return lab
}

// fakeLab is a lab on the fake provider.
func fakeLab(name string) *labs.Lab {
	return labstest.Complete(&labs.Lab{
		Name:     name,
		Clusters: []labs.Cluster{{Provider: "fake", Settings: map[string]any{"workers": 1}}},
	})
}
