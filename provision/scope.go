package provision

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// Identity names an instance in its cluster. Another user may give an instance on the same cluster the same name, so
// the ID is part of it. Instances that older versions created have none.
func (st *State) Identity() string {
	if st.ID == "" {
		return st.Name
	}
	return st.Name + "." + st.ID
}

// Scope says which objects of the cluster belong to an instance of the lab.
func (m *Manager) Scope(st *State, lab *labs.Lab) (*scope.Scope, error) {
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		return nil, err
	}
	return scopeOf(st, lab, provider, m.Settings.AppImage)
}

func (r *run) scope() (*scope.Scope, error) {
	st := r.state()
	if st.Name == "" { // of a plan: the instance does not exist yet
		st.Name = r.opts.Name
	}
	return scopeOf(&st, r.lab, r.provider, r.m.Settings.AppImage)
}

// identity is the instance's; a plan may have none yet.
func (r *run) identity() string {
	if st := r.state(); st.Name != "" {
		return st.Identity()
	}
	return r.opts.Name
}

func scopeOf(st *State, lab *labs.Lab, provider Provider, appImage string) (*scope.Scope, error) {
	exclusive := provider.Ephemeral()
	s := &scope.Scope{
		Instance: st.Identity(), Exclusive: exclusive, Namespaces: namespacesOf(lab),
		Canary: scope.CanaryNamespace(exclusive, st.ID), Managed: exclusive && !provider.Local(),
	}
	objs, err := objects(lab, rendering{instance: s.Instance, appImage: appImage})
	if err != nil {
		return nil, err
	}
	for _, obj := range objs {
		was := st.Before != nil && slices.Contains(st.Before.Namespaces, obj.GetName())
		if obj.GetKind() == "Namespace" && (!was || st.Cluster.Adopted) {
			s.Created = append(s.Created, obj.GetName())
		}
	}
	if st.Before != nil {
		s.Before, s.Mutators = st.Before.Policies, st.Before.Mutators
	}
	for i := range lab.Apps {
		s.Apps = append(s.Apps, scope.App{
			Namespace: lab.Apps[i].Namespace, Owns: lab.Apps[i].Owns, Labels: lab.Apps[i].Labels,
		})
	}
	return s, nil
}

// namespacesOf are those that the lab is about.
func namespacesOf(lab *labs.Lab) []string {
	var out []string
	for _, ns := range lab.Namespaces {
		out = append(out, ns.Name)
	}
	for i := range lab.Apps {
		out = append(out, lab.Apps[i].Namespace)
	}
	out = append(out, lab.Submission.Namespaces...)
	slices.Sort(out)
	return slices.Compact(out)
}

// setOwner says on an object which instance deployed it.
func setOwner(obj *unstructured.Unstructured, instance string) {
	(&scope.Scope{Instance: instance}).MarkDeployed(obj)
}

// ownedBy says whether the instance deployed an object.
func ownedBy(obj *unstructured.Unstructured, instance string) bool {
	return (&scope.Scope{Instance: instance}).Deployed(obj)
}
