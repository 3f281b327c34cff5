package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// MergeKubeconfig puts the clusters, users and contexts of a kubeconfig into a file, and makes its current
// context the file's. A file that is not there is made.
func MergeKubeconfig(path string, kubeconfig []byte) error {
	add, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	return editKubeconfig(path, func(cfg *api.Config) {
		for name, c := range add.Clusters {
			cfg.Clusters[name] = c
		}
		for name, u := range add.AuthInfos {
			cfg.AuthInfos[name] = u
		}
		for name, c := range add.Contexts {
			cfg.Contexts[name] = c
		}
		cfg.CurrentContext = add.CurrentContext
	})
}

// UnmergeKubeconfig takes a context out of a file again, with its cluster and user.
func UnmergeKubeconfig(path, contextName string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return editKubeconfig(path, func(cfg *api.Config) {
		if c := cfg.Contexts[contextName]; c != nil {
			delete(cfg.Clusters, c.Cluster)
			delete(cfg.AuthInfos, c.AuthInfo)
			delete(cfg.Contexts, contextName)
		}
		if cfg.CurrentContext == contextName {
			cfg.CurrentContext = ""
		}
	})
}

// editKubeconfig changes a kubeconfig file under the lock that kubectl takes.
func editKubeconfig(path string, change func(*api.Config)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("edit the kubeconfig: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("edit the kubeconfig: %w (if no kubectl runs, remove that file)", err)
	}
	defer os.Remove(lock.Name())
	defer lock.Close()
	cfg, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		cfg, err = api.NewConfig(), nil
	}
	if err != nil {
		return fmt.Errorf("edit the kubeconfig: %w", err)
	}
	change(cfg)
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return fmt.Errorf("edit the kubeconfig: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("edit the kubeconfig: %w", err)
	}
	return nil
}
