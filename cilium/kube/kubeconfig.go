package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

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
	Path     string `json:"path"`
	Context  string `json:"context"`
	Previous string `json:"previous_context,omitempty"` // the file's current context before
}

// Merge adds the current context of a kubeconfig to the file m.Path, as m.Context, makes it the file's current
// context, and sets m.Previous. A file that does not exist is created. Merge fails if the file has other entries of
// this name, unless replace says that labctl added them.
func (m *MergedContext) Merge(kubeconfig []byte, replace bool) error {
	add, err := clientcmd.Load(kubeconfig)
	if err == nil {
		err = errors.Join(api.MinifyConfig(add), api.FlattenConfig(add))
	}
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	add = renamed(add, add.CurrentContext, m.Context)
	return m.modify(func(cfg *api.Config) error {
		if !replace && m.taken(cfg, add) {
			return fmt.Errorf("it already has a context, cluster or user %q that labctl did not add; rename or delete it (kubectl config delete-context %s)",
				m.Context, m.Context)
		}
		if cfg.CurrentContext != m.Context {
			m.Previous = cfg.CurrentContext
		}
		maps.Copy(cfg.Clusters, add.Clusters)
		maps.Copy(cfg.AuthInfos, add.AuthInfos)
		maps.Copy(cfg.Contexts, add.Contexts)
		cfg.CurrentContext = m.Context
		return nil
	})
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

// taken reports whether a file has entries of the context's name other than those to be added.
func (m *MergedContext) taken(cfg, add *api.Config) bool {
	named := api.NewConfig()
	if c := cfg.Contexts[m.Context]; c != nil {
		named.Contexts[m.Context] = c
	}
	if c := cfg.Clusters[m.Context]; c != nil {
		named.Clusters[m.Context] = c
	}
	if u := cfg.AuthInfos[m.Context]; u != nil {
		named.AuthInfos[m.Context] = u
	}
	if len(named.Contexts)+len(named.Clusters)+len(named.AuthInfos) == 0 {
		return false
	}
	have, err := clientcmd.Write(*named)
	want, wantErr := clientcmd.Write(*add)
	return err != nil || wantErr != nil || !bytes.Equal(have, want)
}

// Remove deletes the context from the file, with its cluster and user, and restores the previous current context.
// What no longer exists is not an error.
func (m *MergedContext) Remove() error {
	if _, err := os.Stat(m.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return m.modify(func(cfg *api.Config) error {
		if c := cfg.Contexts[m.Context]; c != nil {
			delete(cfg.Clusters, c.Cluster)
			delete(cfg.AuthInfos, c.AuthInfo)
			delete(cfg.Contexts, m.Context)
		}
		if cfg.CurrentContext == m.Context {
			cfg.CurrentContext = ""
			if cfg.Contexts[m.Previous] != nil {
				cfg.CurrentContext = m.Previous
			}
		}
		return nil
	})
}

// modify changes the file as kubectl does, under the same lock.
func (m *MergedContext) modify(change func(*api.Config) error) error {
	access := &clientcmd.PathOptions{
		GlobalFile:   m.Path,
		LoadingRules: &clientcmd.ClientConfigLoadingRules{ExplicitPath: m.Path, DoNotResolvePaths: true},
	}
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
		return fmt.Errorf("edit the kubeconfig %s: %w", m.Path, err)
	}
	return nil
}
