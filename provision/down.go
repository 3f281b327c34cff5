package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// Down removes an instance: its cluster, or, from a cluster that is not labctl's, what labctl made in it; its
// kubeconfig entries and its state. What is gone already is no error. lab may be nil for an ephemeral
// cluster, so that an instance whose lab is gone can be removed.
func (m *Manager) Down(ctx context.Context, lab *labs.Lab, name string) error {
	r, err := m.reopen(ctx, lab, name, "labctl down")
	if err != nil {
		return err
	}
	defer r.inst.Close()
	st := r.state()
	p := r.alone("down")
	start := m.Now()
	r.report(Event{Phase: "down", Kind: Began, Text: "removing " + st.Cluster.Name})
	if r.provider.Ephemeral() {
		err = r.removeCluster(ctx)
	} else {
		err = r.removeObjects(ctx, p)
	}
	if err == nil && st.Cluster.Merged != "" {
		err = kube.UnmergeKubeconfig(st.Cluster.Merged, st.Cluster.Context)
	}
	if err == nil {
		err = r.inst.Remove()
	}
	if err != nil {
		r.report(Event{Phase: "down", Kind: Failed, Text: err.Error()})
		return err
	}
	r.report(Event{Phase: "down", Kind: Done, Text: st.Cluster.Name + " is gone", Took: m.Now().Sub(start)})
	return nil
}

func (r *run) removeCluster(ctx context.Context) error {
	if _, begun := r.state().Phases[phaseCluster]; !begun {
		return nil // it was never made; one of the name is somebody else's
	}
	if err := r.provider.Delete(ctx, r.cluster); err != nil {
		return err
	}
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return fmt.Errorf("look whether the cluster is gone: %w", err)
	}
	if found.State != Absent {
		return fmt.Errorf("the cluster %s is still there: %v", r.cluster.Name, found.Nodes)
	}
	return nil
}

// removeObjects removes what labctl made in a cluster that stays.
func (r *run) removeObjects(ctx context.Context, p *progress) error {
	if r.lab == nil {
		return errors.New("the lab cannot be read any more, and the cluster is not labctl's to delete: delete what has the annotation " + instanceAnnotation + ": " + r.opts.Name)
	}
	st := r.state()
	if _, err := os.Stat(r.cluster.Kubeconfig); errors.Is(err, os.ErrNotExist) {
		if st.Cluster.UID == "" {
			return nil // up never got that far
		}
		if err := r.connect(ctx); err != nil {
			return err
		}
	}
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, 10*time.Second); err != nil {
		return fmt.Errorf("%w; if the cluster is gone for good, remove %s", err, r.inst.Dir)
	}
	if st.Before != nil {
		p.step("removing policies and labels")
		if _, err := r.deletePolicies(ctx, client, st.Before); err != nil {
			return err
		}
		if err := r.removeApps(ctx, client, p, st.Before); err != nil {
			return err
		}
		if _, err := r.restoreLabels(ctx, client, r.labelsBefore(st.Before)); err != nil {
			return err
		}
		if _, ok := r.provider.(Outsider); ok {
			if err := setHosts(ctx, client, nil); err != nil {
				return err
			}
		}
	}
	if !st.Cilium.Installed {
		return nil
	}
	installer := cilium.NewHelm(client, r.opts.Name, r.m.log())
	installed, err := installer.Status(ctx)
	if err != nil || installed == nil || installed.Owner != r.opts.Name {
		return err
	}
	p.step("uninstalling Cilium")
	if err := installer.Uninstall(ctx); err != nil {
		return err
	}
	names, err := cilium.Defined(ctx, client)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(st.Cilium.Definitions, name) })
	return cilium.Undefine(ctx, client, names)
}

// removeApps deletes the lab's objects. What was there before stays, and is made what it was if the lab has
// changed it.
func (r *run) removeApps(ctx context.Context, client *kube.Client, p *progress, before *Before) error {
	objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
	if err != nil {
		return err
	}
	p.stepf("removing %s", plural(len(objs), "object"))
	for _, obj := range objs {
		if was := before.object(obj); was != nil {
			if err := r.putBack(ctx, client, was); err != nil {
				return err
			}
		}
	}
	objs = slices.DeleteFunc(objs, func(obj *unstructured.Unstructured) bool {
		return before.object(obj) != nil || obj.GetKind() == "Namespace" && slices.Contains(before.Namespaces, obj.GetName())
	})
	slices.Reverse(objs)
	if !slices.Contains(before.Namespaces, canaryNamespace) {
		objs = append(objs, kube.NewObject("v1", "Namespace", "", canaryNamespace, nil)) // of a run that was killed
	}
	if err := client.Delete(ctx, objs...); err != nil {
		return err
	}
	for _, obj := range objs {
		if err := waitGone(ctx, client, obj, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// putBack makes an object what it was, if it is gone or the lab has changed it.
func (r *run) putBack(ctx context.Context, client *kube.Client, was *unstructured.Unstructured) error {
	live, err := client.Get(ctx, was)
	switch {
	case err != nil:
		return err
	case live == nil:
		_, err = client.Apply(ctx, was)
		return err
	case marked(live, r.opts.Name):
		return client.Replace(ctx, was)
	}
	return nil
}

// Pause stops an instance's nodes and keeps all that is in them.
func (m *Manager) Pause(ctx context.Context, name string) error {
	r, err := m.reopen(ctx, nil, name, "labctl pause")
	if err != nil {
		return err
	}
	defer r.inst.Close()
	pauser, err := r.pauser()
	if err != nil {
		return err
	}
	return pauser.Pause(ctx, r.cluster)
}

// Resume starts the nodes of a paused instance and waits until all is ready again.
func (m *Manager) Resume(ctx context.Context, lab *labs.Lab, name string) error {
	r, err := m.reopen(ctx, lab, name, "labctl resume")
	if err != nil {
		return err
	}
	defer r.inst.Close()
	pauser, err := r.pauser()
	if err != nil {
		return err
	}
	start := m.Now()
	p := r.alone("resume")
	r.report(Event{Phase: "resume", Kind: Began, Text: "starting the nodes of " + r.cluster.Name})
	if err := r.startCluster(ctx, pauser, p); err != nil {
		return err
	}
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := r.runPhase(ctx, r.externalsPhase(), p.signal, p.await); err != nil {
		return err
	}
	objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
	if err != nil {
		return err
	}
	checks := append(r.ciliumChecks(client), workloadChecks(client, objs)...)
	wait := kube.Waiting{Timeout: r.m.Settings.Timeouts.Cilium, Progress: p.step}
	if err := wait.Wait(ctx, checks...); err != nil {
		return err
	}
	r.report(Event{Phase: "resume", Kind: Done, Text: "everything is ready", Took: m.Now().Sub(start)})
	return nil
}

// pauser is the provider as one that can pause clusters.
func (r *run) pauser() (Pauser, error) {
	p, ok := r.provider.(Pauser)
	if !ok {
		return nil, &UsageError{fmt.Errorf("a cluster of the provider %s cannot be paused", r.provider.Name())}
	}
	return p, nil
}

// jsonOf is a value's JSON; for values that always have one.
func jsonOf(v map[string]string) string {
	data, _ := json.Marshal(v)
	return string(data)
}
