package provision

import (
	"context"
	"maps"
	"net"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// Deployed are the lab's namespaces and apps as up makes them for the instance.
func (m *Manager) Deployed(lab *labs.Lab, st *State) ([]*unstructured.Unstructured, error) {
	return objects(lab, rendering{st.Identity(), m.Settings.AppImage, st.Cluster.Provider, st.Cluster.Name})
}

// UseImages replaces the public demo image in an object with the site's.
func (m *Manager) UseImages(obj *unstructured.Unstructured) { replaceImages(obj, m.Settings.AppImage) }

// Labels are the labels that namespaces had when up was done: those that the cluster gave them, and the lab's. In a
// cluster that others use, too, they are those of the namespaces that the lab is about.
func (st *State) Labels(lab *labs.Lab, s *scope.Scope) map[string]map[string]string {
	all := map[string]map[string]string{}
	if st.Before != nil {
		for name, labels := range st.Before.NamespaceLabels {
			if s.Exclusive || slices.Contains(s.Namespaces, name) || slices.Contains(lab.Submission.MayLabel, name) {
				all[name] = maps.Clone(labels)
			}
		}
	}
	for name, labels := range namespaces(lab) {
		if all[name] == nil {
			all[name] = map[string]string{}
		}
		maps.Copy(all[name], labels)
		all[name][corev1.LabelMetadataName] = name
	}
	return all
}

// Addresses are the addresses of an external as seen from the cluster: all that the lab gives it or, of hosts that are
// not replaced by a stand-in, one for each name.
func (st *State) Addresses(ctx context.Context, ext *labs.External) []string {
	if e := st.External[ext.Name]; e.StandIn || ext.Host == "" {
		return ext.Addrs
	}
	var addrs []string
	for _, host := range ext.Hosts() {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if err != nil || len(found) == 0 {
			continue
		}
		if addr := found[0].Unmap().String(); !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		return ext.Addrs
	}
	return addrs
}
