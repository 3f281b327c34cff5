package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// restarted names the nodes that were started since labctl has last seen all pods run on them: the machine was
// restarted, or a node was stopped and started by hand.
func (st *State) restarted(found Found) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(found.Started)) {
		if !st.Cluster.Started[name].Equal(found.Started[name]) {
			names = append(names, name)
		}
	}
	return names
}

// Recover makes a lab usable again whose nodes were restarted: it waits until the lab's pods run, and restores what the
// nodes lost. Otherwise it does nothing.
func (m *Manager) Recover(ctx context.Context, lab *labs.Lab, name, command string) error {
	st, err := m.Store.Read(name)
	if err != nil {
		return err
	}
	if len(st.Cluster.Started) == 0 {
		return nil // the provider cannot tell
	}
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		return err
	}
	found, err := provider.Find(ctx, m.cluster(st))
	if err != nil || found.State != Running || len(st.restarted(found)) == 0 {
		return nil // whether the cluster answers is seen soon
	}
	r, err := m.reopen(ctx, lab, name, command)
	if err != nil {
		return err
	}
	defer r.inst.Close()
	return r.restart(ctx, r.standalone("restart"), func(p *progress) (*kube.Client, error) {
		return r.awaitRestart(ctx, found, time.Time{}, p)
	})
}

// restart makes everything ready again after start has started the nodes.
func (r *run) restart(ctx context.Context, p *progress, start func(*progress) (*kube.Client, error)) error {
	begun := r.m.Now()
	r.report(Event{Phase: p.name, Kind: Began, Text: "starting the nodes of " + r.cluster.Name})
	client, err := start(p)
	if err != nil {
		return err
	}
	var ready result[*kube.Client]
	ready.set(client)
	externals := r.externalsPhase(&ready)
	if err := r.runPhase(ctx, externals, &progress{externals.name, r.report, p.signal, p.await}); err != nil {
		return err
	}
	objs, err := r.objects()
	if err != nil {
		return err
	}
	checks := append(r.ciliumChecks(client), workloadChecks(client, objs)...)
	if err := r.restartWaiter(p).Wait(ctx, checks...); err != nil {
		return err
	}
	if err := r.restorePolicies(ctx, client, p); err != nil {
		return err
	}
	r.report(Event{Phase: p.name, Kind: Done, Text: "everything is ready", Took: r.m.Now().Sub(begun)})
	return nil
}

// awaitRestart waits until the pods of started nodes run again, and saves that they do. It returns a client.
// since is for nodes of which the provider does not know when they started.
func (r *run) awaitRestart(ctx context.Context, found Found, since time.Time, p *progress) (*kube.Client, error) {
	// A stopped node has lost its routes to the stand-ins.
	if err := r.save(func(st *State) { delete(st.Phases, phaseExternals) }); err != nil {
		return nil, err
	}
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.scope()
	if err != nil {
		return nil, err
	}
	err = r.restartWaiter(p).Wait(ctx, client.Restarted(startedAt(found, since), ours(r.lab, s)))
	if err != nil {
		return nil, err
	}
	return client, r.save(func(st *State) { st.Cluster.Started = found.Started })
}

// restartWaiter waits longer for what has failed: where everything starts at once, containers fail until others are
// ready, and the kubelet starts them again after ever longer pauses.
func (r *run) restartWaiter(p *progress) kube.Waiter {
	return kube.Waiter{Timeout: r.m.Settings.Timeouts.Cilium, TerminalGrace: 2 * time.Minute, Progress: p.step}
}

// startedAt is when a node was started, by its name.
func startedAt(found Found, otherwise time.Time) func(node string) time.Time {
	return func(node string) time.Time {
		if at, known := found.Started[node]; known {
			return at
		}
		return otherwise
	}
}

// ours says whether a pod belongs to the lab's apps, the canary or the system, rather than to the student.
func ours(lab *labs.Lab, s *scope.Scope) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool {
		return pod.Namespace == metav1.NamespaceSystem || pod.Namespace == s.Canary ||
			slices.ContainsFunc(lab.Apps, func(app labs.App) bool {
				return app.Namespace == pod.Namespace && app.Owns(pod.Name, pod.Labels)
			})
	}
}

// readRestart reports pods that the API server takes for running, although their node was started since.
func (st *Status) readRestart(ctx context.Context, kc *kube.Client, lab *labs.Lab, s *scope.Scope, found Found) error {
	if len(found.Started) == 0 {
		return nil
	}
	look, err := kc.Restarted(startedAt(found, time.Time{}), ours(lab, s)).Observe(ctx)
	if err != nil {
		return fmt.Errorf("read the pods: %w", err)
	}
	if !look.Ready && strings.HasSuffix(look.Why, kube.NotRestarted) {
		st.blame("%s", look.Why)
	}
	return nil
}
