package provision

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/labstest"
)

// wantError holds an error against what it is to say, and whether it is the user's.
func wantError(t *testing.T, err error, text string, usage bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("the error is %v; want one with %q", err, text)
	}
	var u *UsageError
	if errors.As(err, &u) != usage {
		t.Errorf("usage error: %v, want %v (%v)", !usage, usage, err)
	}
}

func TestClusterBlock(t *testing.T) {
	t.Parallel()
	gke := labs.Cluster{Provider: "gke", Settings: map[string]any{"project": "p"}}
	kind := labs.Cluster{Provider: "kind", Settings: map[string]any{"workers": 2}}
	for _, tc := range []struct {
		name   string
		blocks []labs.Cluster
		on     string
		want   labs.Cluster
	}{
		{"the first is the default", []labs.Cluster{gke, kind}, "", gke},
		{"--on picks another", []labs.Cluster{gke, kind}, "kind", kind},
		{"no block: kind", nil, "", labs.Cluster{Provider: "kind"}},
		{"a provider needs no block", []labs.Cluster{gke}, "existing", labs.Cluster{Provider: "existing"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := clusterBlock(&labs.Lab{Clusters: tc.blocks}, tc.on)
			if got.Provider != tc.want.Provider || digestOf([]any{got.Settings}) != digestOf([]any{tc.want.Settings}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestUnknownProvider(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{})
	_, err := m.Up(context.Background(), UpOptions{Lab: &labs.Lab{Name: "shop", Clusters: []labs.Cluster{{Provider: "moon"}}}})
	wantError(t, err, `unknown cluster provider "moon"; known are fake`, true)
	m.Providers["moon"] = func(labs.Cluster, *Settings, *slog.Logger) (Provider, error) {
		return nil, errors.New("crater = -1: want a crater")
	}
	_, err = m.Up(context.Background(), UpOptions{Lab: &labs.Lab{Name: "shop", Clusters: []labs.Cluster{{Provider: "moon"}}}})
	wantError(t, err, "want a crater", true)
	if names, _ := m.Store.Names(); len(names) != 0 {
		t.Errorf("state is left: %v", names)
	}
}

func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		edit func(*State)
		want string // empty: it takes over
	}{
		{"the same lab again", func(*State) {}, ""},
		{"the lab's text has changed", func(st *State) { st.Lab.Digest = "other" }, ""},
		{"another lab", func(st *State) { st.Lab.Name = "bank" }, `instance "shop" belongs to lab "bank"; use another name`},
		{"another provider", func(st *State) { st.Cluster.Provider = "kind" }, `instance "shop" runs on kind; delete it first`},
		{"a changed cluster block", func(st *State) { st.Cluster.Block = map[string]any{"workers": 3} }, "the lab's cluster block has changed since instance"},
		{"a cluster block that was empty", func(st *State) { st.Cluster.Block = nil }, "the lab's cluster block has changed since instance"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, _ := newTestRun(t, &fakeProvider{})
			r.opts.Ref = LabRef{Name: "shop"}
			r.inst.State.Lab.Name = "shop"
			tc.edit(r.inst.State)
			if err := r.inst.Save(); err != nil {
				t.Fatal(err)
			}
			r.inst.State = r.saved(t) // as the next process reads it
			fresh, err := r.begin()
			if tc.want == "" {
				if err != nil || fresh {
					t.Errorf("fresh %v, error %v", fresh, err)
				}
				return
			}
			wantError(t, err, tc.want, true)
		})
	}
}

func TestAdoptIsRemembered(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{stays: true})
	r.opts.Adopt = true
	for range 2 {
		r.inst.State.Lab.Name = "shop"
		if _, err := r.begin(); err != nil {
			t.Fatal(err)
		}
		if !r.saved(t).Cluster.Adopted {
			t.Error("it is forgotten")
		}
		r.opts.Adopt = false // the next up need not say it again
	}
}

// upFails brings a lab up whose chart is not there to see, and returns what is left.
func upFails(t *testing.T, p *fakeProvider, opts UpOptions) (*Manager, *events, error) {
	t.Helper()
	m, seen := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	opts.Lab, opts.Ref = fakeLab("shop"), LabRef{Name: "shop"}
	_, err := m.Up(context.Background(), opts)
	if err == nil {
		t.Fatal("up succeeded without a cluster")
	}
	return m, seen, err
}

// chartOf is a chart directory, of the version that labs ask for.
func chartOf(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chart")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	chart := "apiVersion: v2\nname: cilium\nversion: " + labs.DefaultCiliumVersion + "\n"
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(chart), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUpFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	failing := func(context.Context, func(Milestone)) error { return full }
	for _, tc := range []struct {
		name  string
		p     *fakeProvider
		opts  UpOptions
		want  string
		calls []string
		state bool // one is left
	}{
		{"preflight", &fakeProvider{findings: []Finding{
			{"memory", OK, "8 GiB", ""},
			{"docker", Failure, "does not answer", "start it"},
			{"port 80", Failure, "is taken", ""},
		}}, UpOptions{}, "preflight: docker: does not answer — start it; port 80: is taken", nil, false},
		{"a cluster of the name that is not ours", &fakeProvider{found: Found{State: Running}}, UpOptions{},
			"fake cluster labctl-shop already exists and was not created by this instance", nil, false},
		{"a stopped one that is not ours", &fakeProvider{found: Found{State: Stopped}}, UpOptions{}, "was not created by this instance", nil, false},
		{"look for the cluster", &fakeProvider{findErr: full}, UpOptions{}, "cluster: no space left", nil, false},
		{"create, and clean up", &fakeProvider{create: failing}, UpOptions{}, "cluster: no space left on device", []string{"create", "delete"}, false},
		{"create, and retain", &fakeProvider{create: failing}, UpOptions{Retain: true}, "no space left on device", []string{"create"}, true},
		{"create, and the clean-up too", &fakeProvider{create: failing, deleted: errors.New("device busy")}, UpOptions{},
			"cleanup failed: device busy", []string{"create", "delete"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, _, err := upFails(t, tc.p, tc.opts)
			wantError(t, err, tc.want, false)
			if !slices.Equal(tc.p.calls, tc.calls) {
				t.Errorf("the provider was asked to %v, want %v", tc.p.calls, tc.calls)
			}
			if names, _ := m.Store.Names(); (len(names) > 0) != tc.state {
				t.Errorf("state: %v, want some: %v", names, tc.state)
			}
			if !tc.state {
				if entries, _ := os.ReadDir(m.Store.Dir); len(entries) > 0 {
					t.Errorf("%s is left", entries[0].Name())
				}
			}
		})
	}
}

// TestUpFailsAgain: what an earlier run made is not this run's to remove.
func TestUpFailsAgain(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{create: func(context.Context, func(Milestone)) error { return errors.New("broken") }}
	m, _, _ := upFails(t, p, UpOptions{Retain: true})
	p.findErr, p.calls = errors.New("docker does not answer"), nil
	_, err := m.Up(context.Background(), UpOptions{Lab: fakeLab("shop"), Ref: LabRef{Name: "shop"}})
	wantError(t, err, "docker does not answer", false)
	if len(p.calls) > 0 {
		t.Errorf("the provider was asked to %v", p.calls)
	}
	if names, _ := m.Store.Names(); len(names) != 1 {
		t.Errorf("instances %v", names)
	}
}

// TestUpTakesOver: what an interrupted Create left is removed before the next.
func TestUpTakesOver(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{create: func(context.Context, func(Milestone)) error { return errors.New("broken") }}
	m, _, _ := upFails(t, p, UpOptions{Retain: true})
	p.calls = nil
	_, err := m.Up(context.Background(), UpOptions{Lab: fakeLab("shop"), Ref: LabRef{Name: "shop"}, Retain: true})
	wantError(t, err, "broken", false)
	if want := []string{"delete", "create"}; !slices.Equal(p.calls, want) {
		t.Errorf("the provider was asked to %v, want %v", p.calls, want)
	}
}

func TestUpInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	p := &fakeProvider{create: func(ctx context.Context, _ func(Milestone)) error {
		cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	m, seen := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	_, err := m.Up(ctx, UpOptions{Lab: fakeLab("shop"), Ref: LabRef{Name: "shop"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	// It stops at once, and leaves what the next up or down takes over.
	if !slices.Equal(p.calls, []string{"create"}) {
		t.Errorf("the provider was asked to %v", p.calls)
	}
	st, err := m.Store.Read("shop")
	if err != nil || st.Phases[phaseCluster].Status != PhaseRunning {
		t.Errorf("state %+v, %v", st, err)
	}
	if slices.Contains(seen.of(phaseCluster), Failed) {
		t.Error("it is shown as failed")
	}
}

// TestUpNotesTheCluster: the kubeconfig and the UID are there when the API is.
func TestUpNotesTheCluster(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{api: apiServer(t, "uid-1")}
	p.create = func(_ context.Context, reached func(Milestone)) error {
		reached(NodesUp)
		reached(APIUp)
		return errors.New("and then it broke")
	}
	merged := filepath.Join(t.TempDir(), "config")
	m, _, err := upFails(t, p, UpOptions{Retain: true, Merge: merged})
	if err == nil {
		t.Fatal("no error")
	}
	st, err := m.Store.Read("shop")
	if err != nil || st.Cluster.UID != "uid-1" || st.Cluster.Context != "fake" || st.Cluster.Complete {
		t.Errorf("state %+v, %v", st.Cluster, err)
	}
	if info, err := os.Stat(m.Store.Kubeconfig("shop")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v", info, err)
	}
	if _, err := os.Stat(merged); err == nil || len(st.Cluster.Merged) > 0 {
		t.Errorf("a lab that failed is in the user's kubeconfig")
	}
}

// TestMerge: the user's kubeconfig files get the cluster's context, up moves it, and down removes it from all of
// them. In a cluster of the user's, his own context of the same name stays.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		stays   bool
		context string // that is added
	}{
		{"a cluster of labctl's", false, "labctl-shop"},
		{"a cluster of the user's", true, "labctl-shop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := &fakeProvider{stays: tc.stays, found: Found{State: Running}}
			r, _ := newTestRun(t, p)
			config, err := p.Kubeconfig(context.Background(), r.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.cluster.Kubeconfig, config, 0o600); err != nil {
				t.Fatal(err)
			}
			r.inst.State.Cluster.Context = "fake"
			first, second := filepath.Join(t.TempDir(), "config"), filepath.Join(t.TempDir(), "config")
			if tc.stays {
				for _, path := range []string{first, second} {
					if err := os.WriteFile(path, config, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			has := func(path, context string) bool {
				cfg, err := clientcmd.LoadFromFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return cfg.Contexts[context] != nil
			}
			for _, path := range []string{first, second} {
				if err := r.moveMerged(path); err != nil {
					t.Fatal(err)
				}
				if merged := r.saved(t).Cluster.Merged; !has(path, tc.context) || len(merged) != 1 || merged[0].Path != path {
					t.Errorf("%s does not have the cluster, or the state not the file: %v", path, merged)
				}
			}
			if has(first, tc.context) {
				t.Error("the file before still has the cluster")
			}
			r.inst.State.Cluster.Provider, r.inst.State.Cluster.UID = "fake", ""
			if err := r.inst.Save(); err != nil {
				t.Fatal(err)
			}
			r.inst.Close()
			// labctl kubeconfig --merge
			if err := r.m.MergeKubeconfig(context.Background(), "shop", first); err != nil {
				t.Fatal(err)
			}
			if merged := r.saved(t).Cluster.Merged; !has(first, tc.context) || !has(second, tc.context) || len(merged) != 2 {
				t.Errorf("merged %v", merged)
			}
			if err := os.Remove(r.cluster.Kubeconfig); err != nil { // so that down has no objects to delete
				t.Fatal(err)
			}
			if err := r.m.Down(context.Background(), fakeLab("shop"), "shop"); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{first, second} {
				if has(path, tc.context) {
					t.Errorf("%s still has the cluster after down", path)
				}
				if tc.stays && !has(path, "fake") {
					t.Errorf("down removed the user's own context from %s", path)
				}
			}
		})
	}
}

// TestMergeOfSeveral: an entry of the user's that has the name is neither replaced nor deleted later, and the contexts
// of several instances end in the one that the user had.
func TestMergeOfSeveral(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{found: Found{State: Running}}
	m, _ := newManager(t, p)
	path := filepath.Join(t.TempDir(), "config")
	mine, _ := p.Kubeconfig(context.Background(), Cluster{})
	mine = []byte(strings.ReplaceAll(string(mine), "fake", "labctl-taken"))
	if err := os.WriteFile(path, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"taken", "shop", "bank"} {
		inst := newInstance(t, m.Store, name)
		inst.State.Cluster.Provider = "fake"
		if err := inst.Save(); err != nil {
			t.Fatal(err)
		}
		config, _ := p.Kubeconfig(context.Background(), Cluster{})
		if err := os.WriteFile(inst.Kubeconfig(), config, 0o600); err != nil {
			t.Fatal(err)
		}
		inst.Close()
		err := m.MergeKubeconfig(context.Background(), name, path)
		if name == "taken" {
			wantError(t, err, `"labctl-taken" that labctl did not add`, false)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"taken", "shop", "bank"} {
		if err := m.Down(context.Background(), nil, name); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil || len(cfg.Contexts) != 1 || cfg.Contexts["labctl-taken"] == nil || cfg.CurrentContext != "labctl-taken" {
		t.Errorf("the file has %v, current %q (%v)", cfg.Contexts, cfg.CurrentContext, err)
	}
}

// TestUnmergeOfOlderLabctl: its state names one file, and the context of the instance's kubeconfig.
func TestUnmergeOfOlderLabctl(t *testing.T) {
	t.Parallel()
	for _, stays := range []bool{false, true} {
		p := &fakeProvider{stays: stays}
		r, _ := newTestRun(t, p)
		path := filepath.Join(t.TempDir(), "config")
		config, _ := p.Kubeconfig(context.Background(), r.cluster)
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
		r.inst.State.Cluster.Context, r.inst.State.Cluster.OldMerged = "fake", path
		if err := r.unmerge(func(kube.MergedContext) bool { return true }); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(data), "name: fake") != stays || r.saved(t).Cluster.OldMerged != "" {
			t.Errorf("stays %v: %v, state %+v\n%s", stays, err, r.saved(t).Cluster, data)
		}
	}
}

// TestAnotherCluster: a cluster of the same name with another UID is not the one that labctl made.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{api: apiServer(t, "uid-2"), found: Found{State: Running}}
	r, _ := newTestRun(t, p)
	r.inst.State.Cluster.UID = "uid-1"
	r.inst.State.Phases[phaseCluster] = PhaseState{Status: PhaseDone, Inputs: digestOf([]any{r.block().Settings})}
	config, _ := p.Kubeconfig(context.Background(), r.cluster)
	if err := os.WriteFile(r.cluster.Kubeconfig, config, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.lookCluster(context.Background())
	wantError(t, err, "was replaced and is not the one that labctl created", false)
	r.inst.State.Cluster.UID = "uid-2"
	if act, client, err := r.lookCluster(context.Background()); err != nil || act.Kind != Keep || client == nil {
		t.Errorf("got %+v, %v", act, err)
	}
}

func TestLookCluster(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status PhaseStatus
		made   bool // to its end
		found  Found
		want   ActionKind
		detail string
	}{
		{"nothing there", "", false, Found{}, Create, "cluster labctl-shop"},
		{"was killed in it", PhaseRunning, false, Found{State: Broken}, Redo, "cluster labctl-shop (was interrupted)"},
		{"was killed in it, all nodes run", PhaseRunning, false, Found{State: Running}, Redo, "cluster labctl-shop (was interrupted)"},
		{"was killed while it was started", PhaseRunning, true, Found{State: Running}, Change, "cluster labctl-shop (was interrupted)"},
		{"was killed before it was started", PhaseRunning, true, Found{State: Stopped}, Change, "cluster labctl-shop (was interrupted) (stopped; to be started)"},
		{"it is gone", PhaseDone, true, Found{State: Absent}, Redo, "cluster labctl-shop (it is gone)"},
		{"it is stopped", PhaseDone, true, Found{State: Stopped}, Change, "cluster labctl-shop (stopped; to be started)"},
		{"its kubeconfig is gone", PhaseDone, true, Found{State: Running}, Change, "cluster labctl-shop (its kubeconfig cannot be read and is regenerated)"},
		{"a node was restarted", PhaseDone, true, Found{State: Running, Started: map[string]time.Time{"labctl-shop-worker": start}}, Change, "cluster labctl-shop (restarted: labctl-shop-worker)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, _ := newTestRun(t, &fakeProvider{found: tc.found})
			r.inst.State.Cluster.Complete = tc.made
			if tc.status != "" {
				r.inst.State.Phases[phaseCluster] = PhaseState{Status: tc.status, Inputs: digestOf([]any{r.block().Settings})}
			}
			act, _, err := r.lookCluster(context.Background())
			if err != nil || act.Kind != tc.want || act.Detail != tc.detail {
				t.Errorf("got %s %q, %v; want %s %q", act.Kind, act.Detail, err, tc.want, tc.detail)
			}
		})
	}
}

// TestBrokenClusterIsKept: no state of a cluster that was complete makes an up delete it, unless that is allowed.
func TestBrokenClusterIsKept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		found    Found
		status   PhaseStatus
		recreate bool
		want     string
		calls    []string
	}{
		{"a node is missing", Found{State: Broken, Detail: "missing: labctl-shop-worker"}, PhaseDone, false,
			"cluster labctl-shop is broken (missing: labctl-shop-worker), and labctl cannot repair it; recreating it deletes everything in it", nil},
		{"and the up before has failed", Found{State: Broken, Detail: "missing: labctl-shop-worker"}, PhaseFailed, false, "to do that, run: labctl up shop --recreate", nil},
		{"and the up before was killed", Found{State: Broken, Detail: "missing: labctl-shop-worker"}, PhaseRunning, false, "recreating it deletes everything in it", nil},
		{"stopped, and cannot be started", Found{State: Stopped, Detail: "off"}, PhaseDone, false, "cluster labctl-shop is stopped (off)", nil},
		{"allowed", Found{State: Broken, Detail: "missing: labctl-shop-worker"}, PhaseDone, true, "and then it broke", []string{"delete", "create"}},
		{"allowed, and it runs", Found{State: Running}, PhaseDone, true, "and then it broke", []string{"delete", "create"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := &fakeProvider{found: tc.found, create: func(context.Context, func(Milestone)) error { return errors.New("and then it broke") }}
			m, _ := newManager(t, p)
			m.Settings.Chart = chartOf(t)
			lab := fakeLab("shop")
			inst := newInstance(t, m.Store, "shop")
			inst.State.Lab = LabRef{Name: "shop", Source: "shop"}
			inst.State.Cluster = ClusterState{Provider: "fake", Name: "labctl-shop", Block: lab.Clusters[0].Settings, Complete: true}
			inst.State.Phases[phaseCluster] = PhaseState{Status: tc.status, Inputs: digestOf([]any{lab.Clusters[0].Settings})}
			if err := inst.Save(); err != nil {
				t.Fatal(err)
			}
			inst.Close()
			_, err := m.Up(t.Context(), UpOptions{Lab: lab, Ref: LabRef{Name: "shop", Source: "shop"}, Recreate: tc.recreate, Retain: true})
			wantError(t, err, tc.want, false)
			if !slices.Equal(p.calls, tc.calls) {
				t.Errorf("the provider was asked to %v, want %v", p.calls, tc.calls)
			}
		})
	}
}

// TestLosses: what recreating a cluster deletes is named.
func TestLosses(t *testing.T) {
	t.Parallel()
	s := upShared(t, false)
	s.Add(studentsPolicies)
	r, err := s.m.reopen(t.Context(), s.lab, "shop", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.inst.Close()
	got := r.losses(t.Context())
	for _, want := range []string{"NetworkPolicy team/deny", "CiliumNetworkPolicy default/open", "Namespace later"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not name %s", got, want)
		}
	}
	if strings.Contains(got, "Namespace team") || strings.Contains(got, "Namespace before") {
		t.Errorf("%q names what is not the student's", got)
	}
}

func TestPlanOfSomethingNew(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{}
	m, _ := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	lab := fakeLab("shop")
	lab.Apps = []labs.App{{Name: "web"}}
	labstest.Complete(lab)
	plan, err := m.Plan(context.Background(), UpOptions{Lab: lab})
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Changes() || plan.Instance != "shop" || plan.Provider != "fake" {
		t.Errorf("plan %+v", plan)
	}
	kinds := map[string]ActionKind{}
	for _, act := range plan.Actions {
		kinds[act.Phase] = act.Kind
	}
	for phase, want := range map[string]ActionKind{
		phaseChart: Create, phaseCluster: Create, phaseImages: Keep, phaseCilium: Create, phaseExternals: Keep,
		phaseApps: Create, phaseCanary: Create, phaseBaseline: Create,
	} {
		if kinds[phase] != want {
			t.Errorf("%s: %q, want %q", phase, kinds[phase], want)
		}
	}
	if _, there := kinds[phasePreflight]; there {
		t.Error("the plan shows the preflight, which makes nothing")
	}
	if len(p.calls) > 0 {
		t.Errorf("a plan made the provider %v", p.calls)
	}
	if entries, _ := os.ReadDir(m.Store.Dir); len(entries) > 0 {
		t.Errorf("a plan left %s", entries[0].Name())
	}
	if (&Plan{Actions: []Action{{Kind: Keep}}}).Changes() {
		t.Error("to keep is to change")
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	done := PhaseState{Status: PhaseDone}
	for _, tc := range []struct {
		name  string
		p     *fakeProvider
		begun bool
		want  string
		calls []string
	}{
		{"a cluster", &fakeProvider{found: Found{State: Running}}, true, "", []string{"delete"}},
		{"gone already", &fakeProvider{}, true, "", []string{"delete"}},
		{"never made: one of the name is somebody else's", &fakeProvider{found: Found{State: Running}}, false, "", nil},
		{"cannot be removed", &fakeProvider{found: Found{State: Running}, deleted: errors.New("device busy")}, true, "device busy", []string{"delete"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, seen := newManager(t, tc.p)
			inst := newInstance(t, m.Store, "shop")
			inst.State.Cluster = ClusterState{Provider: "fake", Name: "labctl-shop"}
			if tc.begun {
				inst.State.Phases[phaseCluster] = done
			}
			if err := inst.Save(); err != nil {
				t.Fatal(err)
			}
			inst.Close()
			err := m.Down(context.Background(), nil, "shop")
			if !slices.Equal(tc.p.calls, tc.calls) {
				t.Errorf("the provider was asked to %v, want %v", tc.p.calls, tc.calls)
			}
			names, _ := m.Store.Names()
			if tc.want != "" {
				wantError(t, err, tc.want, false)
				if len(names) != 1 || !slices.Contains(seen.of("down"), Failed) {
					t.Errorf("instances %v, events %v", names, seen.of("down"))
				}
				return
			}
			if err != nil || len(names) > 0 {
				t.Errorf("instances %v, %v", names, err)
			}
		})
	}
	m, _ := newManager(t, &fakeProvider{})
	if err := m.Down(context.Background(), nil, "shop"); !errors.Is(err, ErrNoInstance) {
		t.Errorf("down of nothing: %v", err)
	}
}

// TestDownStillThere: a provider that says it is gone is not believed.
func TestDownStillThere(t *testing.T) {
	t.Parallel()
	p := &stubborn{fakeProvider{found: Found{State: Running, Nodes: []string{"labctl-shop-worker"}}}}
	m, _ := newManager(t, p)
	inst := newInstance(t, m.Store, "shop")
	inst.State.Cluster = ClusterState{Provider: "fake", Name: "labctl-shop"}
	inst.State.Phases[phaseCluster] = PhaseState{Status: PhaseDone}
	if err := inst.Save(); err != nil {
		t.Fatal(err)
	}
	inst.Close()
	wantError(t, m.Down(context.Background(), nil, "shop"), "cluster labctl-shop still exists: [labctl-shop-worker]", false)
}

type stubborn struct{ fakeProvider }

func (*stubborn) Delete(context.Context, Cluster) error { return nil }

// TestDownWithoutKubeconfig: in a cluster that stays, down must not forget what it cannot reach.
func TestDownWithoutKubeconfig(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, uid, want string
	}{
		{"up never got that far", "", ""},
		{"the file was removed: it is had anew", "uid-1", ""},
		{"and it leads elsewhere now", "uid-2", "is not the one that labctl created"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newManager(t, &fakeProvider{stays: true, api: apiServer(t, "uid-1")})
			inst := newInstance(t, m.Store, "shop")
			inst.State.Cluster = ClusterState{Provider: "fake", Name: "labctl-shop", UID: tc.uid}
			if err := inst.Save(); err != nil {
				t.Fatal(err)
			}
			inst.Close()
			err := m.Down(context.Background(), fakeLab("shop"), "shop")
			names, _ := m.Store.Names()
			if tc.want != "" {
				wantError(t, err, tc.want, false)
				if len(names) != 1 {
					t.Error("the instance is forgotten")
				}
				return
			}
			if err != nil || len(names) > 0 {
				t.Errorf("instances %v, %v", names, err)
			}
		})
	}
}

func TestPauseWithoutPauser(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{})
	inst := newInstance(t, m.Store, "shop")
	inst.State.Cluster = ClusterState{Provider: "fake"}
	if err := inst.Save(); err != nil {
		t.Fatal(err)
	}
	inst.Close()
	wantError(t, m.Pause(context.Background(), "shop"), "a cluster of the provider fake cannot be paused", true)
	wantError(t, m.Resume(context.Background(), fakeLab("shop"), "shop"), "cannot be paused", true)
	_, err := m.Reset(context.Background(), fakeLab("shop"), "shop", false)
	wantError(t, err, "read the kubeconfig", false)
}

func TestList(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{found: Found{State: Stopped, Detail: "stopped: labctl-shop-worker"}}
	m, _ := newManager(t, p)
	if list, err := m.List(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("none: %v, %v", list, err)
	}
	for name, edit := range map[string]func(*State){
		"complete": func(st *State) {
			st.Phases[phaseBaseline], st.Phases[phaseCilium] = PhaseState{Status: PhaseDone}, PhaseState{Status: PhaseDone}
		},
		// The Cilium was there before, so the phase had nothing to do.
		"adopted": func(st *State) { st.Phases[phaseBaseline] = PhaseState{Status: PhaseDone} },
		"again": func(st *State) { // a later up failed
			st.Phases[phaseBaseline], st.Phases[phaseApps] = PhaseState{Status: PhaseDone}, PhaseState{Status: PhaseFailed}
		},
		"half":  func(st *State) { st.Phases[phaseCilium] = PhaseState{Status: PhaseDone} },
		"other": func(st *State) { st.Cluster.Provider = "moon" },
	} {
		inst := newInstance(t, m.Store, name)
		inst.State.Cluster = ClusterState{Provider: "fake", Name: "labctl-" + name}
		inst.State.Lab.Name = "shop"
		edit(inst.State)
		if err := inst.Save(); err != nil {
			t.Fatal(err)
		}
		inst.Close()
	}
	torn := newInstance(t, m.Store, "torn")
	torn.Close()
	if err := os.WriteFile(filepath.Join(torn.Dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := m.List(context.Background())
	if err != nil || len(list) != 6 {
		t.Fatalf("%+v, %v", list, err)
	}
	const stopped = "stopped: labctl-shop-worker"
	for i, want := range []Listed{
		{Name: "adopted", Lab: "shop", Provider: "fake", Cluster: "labctl-adopted", State: Stopped, Complete: true, Detail: stopped},
		{Name: "again", Lab: "shop", Provider: "fake", Cluster: "labctl-again", State: Stopped, Detail: stopped},
		{Name: "complete", Lab: "shop", Provider: "fake", Cluster: "labctl-complete", State: Stopped, Complete: true, Detail: "stopped: labctl-shop-worker"},
		{Name: "half", Lab: "shop", Provider: "fake", Cluster: "labctl-half", State: Stopped, Detail: "stopped: labctl-shop-worker"},
	} {
		if list[i] != want {
			t.Errorf("got %+v, want %+v", list[i], want)
		}
	}
	if l := list[4]; l.State != "unknown" || !strings.Contains(l.Detail, `unknown cluster provider "moon"`) {
		t.Errorf("got %+v", l)
	}
	if l := list[5]; l.State != "unknown" || !strings.Contains(l.Detail, "unexpected end of JSON input") {
		t.Errorf("got %+v", l)
	}
}

// dear is a provider whose clusters cost money.
type dear struct{ *fakeProvider }

func (*dear) Cost() Cost { return Cost{Known: true, Hourly: 2.5, Source: "a price list"} }

// TestAgreeToCost: nothing is created before the cost is agreed to, and one that was agreed to is not asked for again.
func TestAgreeToCost(t *testing.T) {
	t.Parallel()
	p := &dear{&fakeProvider{}}
	m, _ := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	created, asked := 0, []string{}
	p.create = func(context.Context, func(Milestone)) error { created++; return errors.New("no machines") }
	opts := UpOptions{Lab: fakeLab("shop"), Ref: LabRef{Name: "shop"}, Retain: true}
	_, err := m.Up(t.Context(), opts)
	wantError(t, err, "about 2.50 USD an hour (a price list); agree", true)
	decline := errors.New("too dear")
	opts.Spend = func(what string, c Cost) error { asked = append(asked, what+" "+c.String()); return decline }
	if _, err = m.Up(t.Context(), opts); !errors.Is(err, decline) {
		t.Errorf("declined: %v", err)
	}
	if names, _ := m.Store.Names(); created != 0 || len(names) != 0 {
		t.Fatalf("%d clusters were created, and %v is left", created, names)
	}
	decline = nil
	_, err = m.Up(t.Context(), opts)
	wantError(t, err, "no machines", false)
	_, err = m.Up(t.Context(), opts)
	wantError(t, err, "no machines", false)
	if want := "fake cluster labctl-shop about 2.50 USD an hour (a price list)"; created != 2 || len(asked) != 2 || asked[1] != want {
		t.Errorf("%d clusters, asked %q", created, asked)
	}
}

// TestStandInsDemanded: settings that demand stand-ins are not ignored where there are none.
func TestStandInsDemanded(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{})
	m.Settings.Externals = ExternalsStandIn
	lab := fakeLab("shop")
	lab.Externals = []labs.External{{Name: "internet", Host: "example.org", Port: 443}}
	_, err := m.Up(t.Context(), UpOptions{Lab: lab, Ref: LabRef{Name: "shop"}})
	wantError(t, err, "fake clusters have none for hosts outside the cluster: internet", false)
}
