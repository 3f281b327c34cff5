// Package providertest holds what every provider of clusters has to keep, as one test.
package providertest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/provision"
)

// Subject is a provider that is tested, and what it is tested with.
type Subject struct {
	// New recreates the provider, as another process would.
	New func(t *testing.T) provision.Provider
	// Cluster does not exist yet, unless the provider is not ephemeral.
	Cluster provision.Cluster
	// Interrupt says when the first Create is broken off: after how many steps or milestones. 0: never, since
	// Create takes no time.
	Interrupt int
	// Images are loaded, if the provider can.
	Images []string
	// Use, if there is one, does something with the cluster while it is there.
	Use func(t *testing.T, kubeconfig []byte)
	// Timeout is for a single method; by default the provider's own.
	Timeout time.Duration
}

// errInterrupted is why a Create was broken off.
var errInterrupted = errors.New("interrupted by the test")

// Run holds a provider to the contract of provision.Provider. It leaves nothing.
func Run(t *testing.T, s Subject) {
	p := s.New(t)
	ctx := func(t *testing.T) context.Context {
		timeout := s.Timeout
		if timeout == 0 {
			timeout = p.Timeout()
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), timeout)
		t.Cleanup(cancel)
		return ctx
	}
	state := func(t *testing.T, p provision.Provider) provision.FoundState {
		t.Helper()
		found, err := p.Find(ctx(t), s.Cluster)
		if err != nil {
			t.Fatalf("Find: %v", err)
		}
		if found.State == provision.Broken && found.Detail == "" {
			t.Error("Find does not say why the cluster is broken")
		}
		return found.State
	}
	t.Cleanup(func() {
		if err := s.New(t).Delete(ctx(t), s.Cluster); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	step := func(name string, fn func(t *testing.T)) {
		if !t.Failed() {
			t.Run(name, fn)
		}
	}

	step("says what it is", func(t *testing.T) {
		if p.Name() == "" || p.Timeout() <= 0 {
			t.Errorf("its name is %q and its time-out %s", p.Name(), p.Timeout())
		}
		values, err := p.Values(ctx(t), s.Cluster)
		if _, yamlErr := yaml.Marshal(values); err != nil || yamlErr != nil {
			t.Errorf("its Helm values: %v, %v", err, yamlErr)
		}
		if p.Local() && !p.Ephemeral() {
			t.Error("it says that clusters of others run on this machine")
		}
		for _, f := range p.Preflight(ctx(t), s.Cluster) {
			if f.Severity == provision.Failure {
				t.Errorf("preflight fails: %+v", f)
			}
			if f.Check == "" || f.Message == "" {
				t.Errorf("an empty finding: %+v", f)
			}
		}
		if d, ok := p.(provision.Describer); ok && d.Describe() == "" {
			t.Error("it describes nothing")
		}
	})
	if p.Ephemeral() {
		step("deletes what is not there", func(t *testing.T) {
			if got := state(t, p); got != provision.Absent {
				t.Fatalf("the cluster is %s before it was made", got)
			}
			for range 2 {
				if err := p.Delete(ctx(t), s.Cluster); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if s.Interrupt > 0 {
		step("is interrupted", func(t *testing.T) { s.interrupted(t, p, ctx(t)) })
	}

	var kubeconfig []byte
	step("creates", func(t *testing.T) {
		p = s.New(t) // as the next run would
		_, continues := p.(provision.ResumableCreator)
		if s.Interrupt > 0 && !continues {
			if err := p.Delete(ctx(t), s.Cluster); err != nil {
				t.Fatalf("delete what the interrupted Create has left: %v", err)
			}
		}
		s.create(t, p, ctx(t))
		if got := state(t, p); got != provision.Running {
			t.Fatalf("the cluster is %s after it was made", got)
		}
		var err error
		if kubeconfig, err = p.Kubeconfig(ctx(t), s.Cluster); err != nil {
			t.Fatal(err)
		}
		cfg, err := clientcmd.Load(kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if err := clientcmd.ConfirmUsable(*cfg, ""); err != nil {
			t.Errorf("its kubeconfig: %v", err)
		}
	})
	step("creates what is there", func(t *testing.T) {
		p = s.New(t)
		if _, ok := p.(provision.ResumableCreator); ok || !p.Ephemeral() {
			s.create(t, p, ctx(t))
		} else if err := p.Create(ctx(t), s.Cluster, ignore()); err == nil {
			t.Error("Create made a cluster that was there, although it does not go on with one")
		}
		if got := state(t, p); got != provision.Running {
			t.Fatalf("the cluster is %s after a second Create", got)
		}
		again, err := p.Kubeconfig(ctx(t), s.Cluster)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, kubeconfig) {
			t.Error("its kubeconfig is another after a second Create")
		}
	})
	if loader, ok := p.(provision.ImageLoader); ok && len(s.Images) > 0 {
		step("loads images", func(t *testing.T) {
			for range 2 {
				if err := loader.LoadImages(ctx(t), s.Cluster, s.Images, func(string) {}); err != nil {
					t.Fatal(err)
				}
			}
			if err := loader.LoadImages(ctx(t), s.Cluster, []string{"labctl.invalid/no/such:image"},
				func(string) {}); err == nil {
				t.Error("an image that is nowhere was loaded")
			}
		})
	}
	if s.Use != nil {
		step("is used", func(t *testing.T) { s.Use(t, kubeconfig) })
	}
	if pauser, ok := p.(provision.Pauser); ok {
		step("pauses and resumes", func(t *testing.T) {
			for range 2 {
				if err := pauser.Pause(ctx(t), s.Cluster); err != nil {
					t.Fatal(err)
				}
			}
			if got := state(t, p); got != provision.Stopped {
				t.Errorf("the cluster is %s after Pause", got)
			}
			for range 2 {
				if err := pauser.Resume(ctx(t), s.Cluster, func(string) {}); err != nil {
					t.Fatal(err)
				}
			}
			if got := state(t, p); got != provision.Running {
				t.Errorf("the cluster is %s after Resume", got)
			}
		})
	}
	step("deletes", func(t *testing.T) {
		p = s.New(t)
		for range 2 {
			if err := p.Delete(ctx(t), s.Cluster); err != nil {
				t.Fatal(err)
			}
		}
		want := provision.Absent
		if !p.Ephemeral() {
			want = provision.Running
		}
		if got := state(t, p); got != want {
			t.Errorf("the cluster is %s after Delete", got)
		}
	})
}

// interrupted breaks a Create off.
func (s Subject) interrupted(t *testing.T, p provision.Provider, parent context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	seen := 0
	count := func() {
		if seen++; seen == s.Interrupt {
			cancel(errInterrupted)
		}
	}
	err := p.Create(ctx, s.Cluster, provision.CreateProgress{Step: func(string) {
		count()
	}, Milestone: func(provision.Milestone) { count() }})
	switch {
	case seen < s.Interrupt:
		t.Fatalf("Create ended after %d steps and milestones: %v", seen, err)
	case !errors.Is(err, errInterrupted) && !errors.Is(err, context.Canceled):
		t.Errorf("Create was interrupted and ended with: %v", err)
	}
}

// create makes the cluster and checks the milestones.
func (s Subject) create(t *testing.T, p provision.Provider, ctx context.Context) {
	t.Helper()
	var reached []provision.Milestone
	err := p.Create(ctx, s.Cluster, provision.CreateProgress{
		Step: func(string) {}, Milestone: func(m provision.Milestone) { reached = append(reached, m) },
	})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if want := []provision.Milestone{provision.NodesUp, provision.APIUp}; !slices.Equal(reached, want) {
		t.Errorf("Create reached %v, want %v", reached, want)
	}
}

func ignore() provision.CreateProgress {
	return provision.CreateProgress{Step: func(string) {}, Milestone: func(provision.Milestone) {}}
}
