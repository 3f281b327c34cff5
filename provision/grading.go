package provision

import (
	"context"
	"maps"
	"net"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/labs"
)

// Deployed are the lab's namespaces and apps as up makes them for the instance.
func (m *Manager) Deployed(lab *labs.Lab, instance string) ([]*unstructured.Unstructured, error) {
	return objects(lab, instance, m.Settings.AppImage)
}

// UseImages puts the site's demo image into an object that names the public one.
func (m *Manager) UseImages(obj *unstructured.Unstructured) { replaceImages(obj, m.Settings.AppImage) }

// Labels are the labels that the lab's namespaces had when up was done: those that the cluster gave them, and
// the lab's.
func (st *State) Labels(lab *labs.Lab) map[string]map[string]string {
	all := map[string]map[string]string{}
	if st.Before != nil {
		for name, labels := range st.Before.NamespaceLabels {
			all[name] = maps.Clone(labels)
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

// Addresses are those that an external of the lab has from within the cluster.
func (st *State) Addresses(ctx context.Context, ext *labs.External) []string {
	if e := st.External[ext.Name]; e.StandIn || ext.Host == "" {
		return ext.Addrs
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", ext.Host)
	if err != nil {
		return ext.Addrs
	}
	var addrs []string
	for _, a := range found {
		addrs = append(addrs, a.Unmap().String())
	}
	return addrs
}
