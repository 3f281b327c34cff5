package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/canary"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// Down deletes an instance: its cluster or, in a cluster that labctl did not create, the objects that it created;
// its kubeconfig entries and its state. What no longer exists is not an error. lab may be nil for an ephemeral
// cluster, so that an instance whose lab is gone can be deleted.
func (m *Manager) Down(ctx context.Context, lab *labs.Lab, name string) error {
	r, err := m.reopen(ctx, lab, name, "labctl down")
	if err != nil {
		return err
	}
	defer r.inst.Close()
	st := r.state()
	p := r.standalone("down")
	start := m.Now()
	r.report(Event{Phase: "down", Kind: Began, Text: "removing " + st.Cluster.Name})
	if r.provider.Ephemeral() {
		err = r.removeCluster(ctx)
	} else {
		err = r.removeObjects(ctx, p)
	}
	if err == nil {
		err = r.unmerge(func(kube.MergedContext) bool { return true })
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
		return nil // it was never created; one of that name is somebody else's
	}
	if err := r.provider.Delete(ctx, r.cluster); err != nil {
		return err
	}
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return fmt.Errorf("check that the cluster is gone: %w", err)
	}
	if found.State != Absent {
		return fmt.Errorf("cluster %s still exists: %v", r.cluster.Name, found.Nodes)
	}
	return nil
}

// removeObjects removes what labctl made in a cluster that stays.
func (r *run) removeObjects(ctx context.Context, p *progress) error {
	if r.lab == nil {
		return errors.New("the lab can no longer be read, and labctl did not create the cluster; delete the objects with the annotation " + scope.DeployedAnnotation + ": " + r.identity())
	}
	st := r.state()
	if _, err := os.Stat(r.cluster.Kubeconfig); errors.Is(err, os.ErrNotExist) {
		if st.Cluster.UID == "" {
			return nil // up never got that far
		}
		if _, err := r.connect(ctx); err != nil {
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
		if err := r.removeLab(ctx, client, p, st.Before); err != nil {
			return err
		}
		if _, ok := r.provider.(StandInProvider); ok {
			if err := setHosts(ctx, client, nil); err != nil {
				return err
			}
		}
	}
	if st.Cilium.Definitions == nil {
		return nil // up never began to install Cilium
	}
	return r.uninstallCilium(ctx, client, p, st.Cilium.Definitions)
}

// uninstallCilium removes the Cilium that the instance installed, or began to install, what that has left on the
// nodes, and its resource definitions except those that were there before.
func (r *run) uninstallCilium(ctx context.Context, client *kube.Client, p *progress, before []string) error {
	installer := cilium.NewHelm(client, r.identity(), r.m.log())
	installed, err := installer.Status(ctx)
	if err != nil {
		return err
	}
	switch theirs, err := foreignCilium(ctx, client, installed, r.identity()); {
	case err != nil || theirs != "":
		return err // somebody else has installed one since
	case installed != nil:
		s, err := r.scope()
		if err != nil {
			return err
		}
		if others, err := s.Others(ctx, client); err != nil {
			return err
		} else if len(others) > 0 {
			p.warnf("Cilium kept: the lab instance %s uses it. When nobody does any more, remove it with: helm uninstall %s -n %s",
				others[0], cilium.Release, cilium.Namespace)
			return nil
		}
		if err := r.uninstallRelease(ctx, client, p, installer); err != nil {
			return err
		}
	}
	names, err := cilium.Defined(ctx, client)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(before, name) })
	return r.undefine(ctx, client, p, names)
}

// uninstallRelease uninstalls the release, and cleans the nodes that its agents ran on.
func (r *run) uninstallRelease(ctx context.Context, client *kube.Client, p *progress, installer *cilium.Helm) error {
	agent, err := client.Typed.AppsV1().DaemonSets(cilium.Namespace).Get(ctx, "cilium", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("find Cilium: %w", err)
	}
	ran := err == nil
	p.step("uninstalling Cilium")
	if err := cilium.ReleasePods(ctx, client); err != nil {
		return err
	}
	if err := installer.Uninstall(ctx); err != nil || !ran {
		return err
	}
	p.step("cleaning the nodes")
	err = cilium.CleanNodes(ctx, client, agent, r.m.Settings.Timeouts.Cilium, p.step)
	var left *kube.NotReadyError
	if errors.As(err, &left) { // a node that is down stays as it is
		p.warnf("what Cilium left on the nodes may still be there: %s", err)
		return nil
	}
	return err
}

// undefine deletes Cilium's resource definitions, except those of which somebody else still has policies, which
// would be deleted too.
func (r *run) undefine(ctx context.Context, client *kube.Client, p *progress, names []string) error {
	for _, kind := range scope.PolicyKinds() {
		definition := kind.Resource + "." + kind.Group
		if !slices.Contains(names, definition) {
			continue
		}
		list, err := client.Dynamic.Resource(kind).List(ctx, metav1.ListOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		if list != nil && len(list.Items) > 0 {
			p.warnf("resource definition %s kept: deleting it would delete %s, such as %s",
				definition, plural(len(list.Items), "object"), kube.Ref(&list.Items[0]))
			names = slices.DeleteFunc(names, func(name string) bool { return name == definition })
		}
	}
	return cilium.Undefine(ctx, client, names)
}

// removeLab removes the lab, what its student did in it, and what gradings left.
func (r *run) removeLab(ctx context.Context, client *kube.Client, p *progress, before *Snapshot) error {
	s, err := r.scope()
	if err != nil {
		return err
	}
	p.step("removing policies and labels")
	_, left, err := r.deletePolicies(ctx, client)
	if err != nil {
		return err
	}
	for _, what := range left {
		p.warnf("%s kept: it applies to the lab's pods, but nothing shows that it is the lab's", what)
	}
	if err := r.removeApps(ctx, client, s, p, before); err != nil {
		return err
	}
	// Of a grading, or of a run that was killed.
	if err := (&canary.Canary{Client: client, Scope: s}).Delete(ctx); err != nil {
		return err
	}
	_, left, err = r.resetLabels(ctx, client, s, labelsBefore(before, s))
	for _, what := range left {
		p.warnf("%s kept: it is newer than the lab, but nothing shows that it is the lab's", what)
	}
	return err
}

// removeApps deletes the lab's objects. What was there before stays, and is made what it was if the lab has
// changed it.
func (r *run) removeApps(ctx context.Context, client *kube.Client, s *scope.Scope, p *progress,
	before *Snapshot) error {
	objs, err := r.objects()
	if err != nil {
		return err
	}
	p.stepf("removing %s", plural(len(objs), "object"))
	for _, obj := range objs {
		if was := before.object(obj); was != nil {
			if err := r.restore(ctx, client, was); err != nil {
				return err
			}
		}
	}
	objs = slices.DeleteFunc(objs, func(obj *unstructured.Unstructured) bool {
		return before.object(obj) != nil ||
			obj.GetKind() == "Namespace" && slices.Contains(before.Namespaces, obj.GetName())
	})
	slices.Reverse(objs)
	var going []*unstructured.Unstructured
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		switch {
		case err != nil:
			return err
		case live == nil:
		case !s.MayReplace(live):
			p.warnf("%s kept: somebody else replaced the lab's object with it", kube.Ref(live))
		default:
			if err := client.Delete(ctx, live); err != nil {
				return err
			}
			going = append(going, live)
		}
	}
	for _, obj := range going {
		if err := (kube.Waiter{Timeout: time.Minute}).Wait(ctx, client.Gone(obj)); err != nil {
			return err
		}
	}
	return nil
}

// restore makes an object what it was, if it is gone or the lab has changed it.
func (r *run) restore(ctx context.Context, client *kube.Client, was *unstructured.Unstructured) error {
	live, err := client.Get(ctx, was)
	switch {
	case err != nil:
		return err
	case live == nil:
		_, err = client.Apply(ctx, was)
		return err
	case ownedBy(live, r.identity()):
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
	return r.restart(ctx, r.standalone("resume"), func(p *progress) (*kube.Client, error) {
		return r.startCluster(ctx, pauser, p)
	})
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
