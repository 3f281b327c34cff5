package provision

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/labctl/labctl/cilium/kube"
)

// MergeKubeconfig adds an instance's cluster to a kubeconfig file, and remembers that for down.
func (m *Manager) MergeKubeconfig(ctx context.Context, name, path string) error {
	r, err := m.reopen(ctx, nil, name, "labctl kubeconfig")
	if err != nil {
		return err
	}
	defer r.inst.Close()
	return r.merge(path)
}

// moveMerged adds the cluster to a kubeconfig file, and removes it from the files that it was in before. It is the
// last step of an up, so that a lab that failed leaves no entry.
func (r *run) moveMerged(path string) error {
	if path == "" {
		return nil
	}
	if err := r.merge(path); err != nil {
		return err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return r.unmerge(func(m kube.MergedContext) bool { return m.Path != path })
}

// merge adds the cluster to a kubeconfig file, and saves that it did. In a cluster that is not labctl's, the
// context of the instance's kubeconfig has the name of the user's own, so the one that is added has a name of its
// own.
func (r *run) merge(path string) error {
	path, err := filepath.Abs(path) // down may run elsewhere
	if err != nil {
		return err
	}
	data, err := os.ReadFile(r.cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	st := r.state()
	entry := kube.MergedContext{Path: path, Context: st.Cluster.Context}
	if !r.provider.Ephemeral() || entry.Context == "" {
		entry.Context = "labctl-" + r.opts.Name
	}
	known := slices.IndexFunc(st.Cluster.Merged, func(m kube.MergedContext) bool {
		return m.Path == path && m.Context == entry.Context
	})
	if known >= 0 {
		entry = st.Cluster.Merged[known]
	}
	if err := entry.Merge(data, known >= 0 || r.provider.Ephemeral() && st.Cluster.OldMerged == path); err != nil {
		return err
	}
	return r.save(func(st *State) {
		if known >= 0 {
			st.Cluster.Merged[known] = entry
		} else {
			st.Cluster.Merged = append(st.Cluster.Merged, entry)
		}
	})
}

// unmerge removes the cluster from the user's kubeconfig files that are selected.
func (r *run) unmerge(selected func(kube.MergedContext) bool) error {
	st := r.state()
	if old := (kube.MergedContext{Path: st.Cluster.OldMerged, Context: st.Cluster.Context}); old.Path != "" &&
		selected(old) {
		if r.provider.Ephemeral() {
			if err := old.Remove(); err != nil {
				return err
			}
		}
		if err := r.save(func(st *State) { st.Cluster.OldMerged = "" }); err != nil {
			return err
		}
	}
	for _, m := range st.Cluster.Merged {
		if !selected(m) {
			continue
		}
		if err := m.Remove(); err != nil {
			return err
		}
		err := r.save(func(st *State) {
			st.Cluster.Merged = slices.DeleteFunc(slices.Clone(st.Cluster.Merged), func(other kube.MergedContext) bool {
				return other == m
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
