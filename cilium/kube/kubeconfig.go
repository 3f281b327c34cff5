package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// CurrentContext is the current context of a kubeconfig.
func CurrentContext(kubeconfig []byte) (string, error) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return cfg.CurrentContext, nil
}

// MergedContext is a context that labctl added to a kubeconfig file, with a cluster and a user of the same name.
type MergedContext struct {
	// Path is a file, or a list of files as in $KUBECONFIG. kubectl reads it in the same way.
	Path    string `json:"path"`
	Context string `json:"context"`
	// Previous are the current contexts before, the last one first.
	Previous []string `json:"previous_contexts,omitempty"`
}

// Same reports whether both are the same context in the same file.
func (m *MergedContext) Same(other MergedContext) bool {
	return m.Path == other.Path && m.Context == other.Context
}

// Prepare sets m.Previous before Merge. history has the contexts that labctl added to the file, and what was the
// current context before each. Prepare fails if the file has other entries of this name, unless replace says that
// labctl added them.
func (m *MergedContext) Prepare(replace bool, history map[string][]string) error {
	cfg, err := m.access().GetStartingConfig()
	if err == nil && !replace {
		err = m.checkTaken(cfg)
	}
	if err != nil {
		return m.failed(err)
	}
	if current := cfg.CurrentContext; current == "" {
		m.Previous = nil
	} else if current != m.Context {
		m.Previous = append([]string{current}, history[current]...)
	}
	return nil
}

// Merge adds the current context of a kubeconfig to the file m.Path, as m.Context, and makes it the file's current
// context. A file that does not exist is created. replace is as in Prepare.
func (m *MergedContext) Merge(kubeconfig []byte, replace bool) error {
	add, err := m.entries(kubeconfig)
	if err != nil {
		return err
	}
	return m.modify(func(cfg *api.Config) error {
		if !replace {
			if err := m.checkTaken(cfg); err != nil {
				return err
			}
		}
		keepOrigin(cfg, add)
		maps.Copy(cfg.Clusters, add.Clusters)
		maps.Copy(cfg.AuthInfos, add.AuthInfos)
		maps.Copy(cfg.Contexts, add.Contexts)
		cfg.CurrentContext = m.Context
		return nil
	})
}

// entries are the current context of a kubeconfig, its cluster and its user, under the name that they get.
func (m *MergedContext) entries(kubeconfig []byte) (*api.Config, error) {
	add, err := clientcmd.Load(kubeconfig)
	if err == nil {
		err = errors.Join(api.MinifyConfig(add), api.FlattenConfig(add))
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return renamed(add, add.CurrentContext, m.Context), nil
}

// checkTaken fails if a file has entries of the context's name.
func (m *MergedContext) checkTaken(cfg *api.Config) error {
	if cfg.Contexts[m.Context] == nil && cfg.Clusters[m.Context] == nil && cfg.AuthInfos[m.Context] == nil {
		return nil
	}
	return fmt.Errorf("it already has a context, cluster or user %q that labctl did not add; rename or delete it (kubectl config delete-context %s)",
		m.Context, m.Context)
}

// renamed is one context of a kubeconfig, under another name that its cluster and user get too.
func renamed(cfg *api.Config, context, name string) *api.Config {
	out := api.NewConfig()
	from := cfg.Contexts[context]
	entry := *from
	entry.Cluster, entry.AuthInfo = name, name
	out.Contexts[name] = &entry
	if cluster := cfg.Clusters[from.Cluster]; cluster != nil {
		out.Clusters[name] = cluster
	}
	if user := cfg.AuthInfos[from.AuthInfo]; user != nil {
		out.AuthInfos[name] = user
	}
	return out
}

// keepOrigin lets entries that replace others be written to the file that has these.
func keepOrigin(cfg, add *api.Config) {
	for name, c := range add.Clusters {
		if old := cfg.Clusters[name]; old != nil {
			c.LocationOfOrigin = old.LocationOfOrigin
		}
	}
	for name, u := range add.AuthInfos {
		if old := cfg.AuthInfos[name]; old != nil {
			u.LocationOfOrigin = old.LocationOfOrigin
		}
	}
	for name, c := range add.Contexts {
		if old := cfg.Contexts[name]; old != nil {
			c.LocationOfOrigin = old.LocationOfOrigin
		}
	}
}

// Remove deletes the context from the file, with the cluster and the user that came with it, and restores the current
// context before. What no longer exists is not an error.
func (m *MergedContext) Remove() error {
	if !slices.ContainsFunc(filepath.SplitList(m.Path), func(path string) bool {
		_, err := os.Stat(path)
		return !errors.Is(err, fs.ErrNotExist)
	}) {
		return nil
	}
	return m.modify(func(cfg *api.Config) error {
		// By their names: the user may have changed the context so that it refers to others.
		delete(cfg.Clusters, m.Context)
		delete(cfg.AuthInfos, m.Context)
		delete(cfg.Contexts, m.Context)
		if cfg.CurrentContext == m.Context {
			cfg.CurrentContext = ""
			for _, name := range m.Previous {
				if cfg.Contexts[name] != nil {
					cfg.CurrentContext = name
					break
				}
			}
		}
		return nil
	})
}

// access reads and writes the files as kubectl does.
func (m *MergedContext) access() clientcmd.ConfigAccess {
	rules := &clientcmd.ClientConfigLoadingRules{DoNotResolvePaths: true}
	if files := filepath.SplitList(m.Path); len(files) > 1 {
		rules.Precedence = files
	} else {
		rules.ExplicitPath = m.Path
	}
	return rules
}

// modify changes the files under the lock that kubectl uses.
func (m *MergedContext) modify(change func(*api.Config) error) error {
	access := m.access()
	cfg, err := access.GetStartingConfig()
	if err == nil {
		if err = change(cfg); err == nil {
			err = clientcmd.ModifyConfig(access, *cfg, false)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w (if no kubectl is running, delete that file)", err)
	}
	if err != nil {
		return m.failed(err)
	}
	return nil
}

func (m *MergedContext) failed(err error) error {
	return fmt.Errorf("edit the kubeconfig %s: %w", m.Path, err)
}
