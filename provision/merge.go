package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	path, err := absolute(path)
	if err != nil {
		return err
	}
	return r.unmerge(func(m kube.MergedContext) bool { return m.Path != path })
}

// absolute is a file, or a list of files as in $KUBECONFIG, by absolute paths, since down may run elsewhere.
func absolute(path string) (string, error) {
	var files []string
	for _, file := range filepath.SplitList(path) {
		if file == "" {
			continue
		}
		file, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		files = append(files, file)
	}
	return strings.Join(files, string(filepath.ListSeparator)), nil
}

// merge adds the cluster to a kubeconfig file, as a context that is named after the instance, and saves that it does
// before it does.
func (r *run) merge(path string) error {
	path, err := absolute(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(r.cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	st := r.state()
	entry := kube.MergedContext{Path: path, Context: "labctl-" + r.opts.Name}
	known := slices.IndexFunc(st.Cluster.Merged, func(m kube.MergedContext) bool { return m.Path == path })
	replace := known >= 0
	if known >= 0 {
		entry = st.Cluster.Merged[known]
	} else if r.provider.Ephemeral() && st.Cluster.OldMerged == path {
		entry.Context, replace = st.Cluster.Context, true
	}
	if err := entry.Prepare(replace, r.mergedBefore(path)); err != nil {
		return err
	}
	err = r.save(func(st *State) {
		if known >= 0 {
			st.Cluster.Merged[known] = entry
		} else {
			st.Cluster.Merged = append(st.Cluster.Merged, entry)
		}
	})
	if err != nil {
		return err
	}
	if err := entry.Merge(data, replace); err != nil {
		if replace {
			return err
		}
		return errors.Join(err, r.forgetMerged(entry))
	}
	return nil
}

// mergedBefore are the contexts that other instances added to a file, and what was its current context before each.
func (r *run) mergedBefore(path string) map[string][]string {
	before := map[string][]string{}
	names, _ := r.m.Store.Names() // without them, only the last context is known
	for _, name := range names {
		st, err := r.m.Store.Read(name)
		if err != nil {
			continue
		}
		for _, m := range st.Cluster.Merged {
			if m.Path == path {
				before[m.Context] = m.Previous
			}
		}
	}
	return before
}

// forgetMerged saves that a context is in no file any more.
func (r *run) forgetMerged(m kube.MergedContext) error {
	return r.save(func(st *State) { st.Cluster.Merged = slices.DeleteFunc(slices.Clone(st.Cluster.Merged), m.Same) })
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
		if err := r.forgetMerged(m); err != nil {
			return err
		}
	}
	return nil
}
