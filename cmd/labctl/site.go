package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// siteFlags are the flags of every command that works on lab instances: where the site's settings are.
type siteFlags struct {
	config string
	values map[string]*string // settings given as flags, by name
}

func (f *siteFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "read the site's settings from `FILE` (default $LABCTL_CONFIG, or "+configHelp+")")
}

// configHelp names the settings' file without naming anybody's home.
const configHelp = "labctl/config.hcl in the user's configuration directory"

// registerSettings adds a flag for each site setting, for the commands that build something.
func (f *siteFlags) registerSettings(cmd *cobra.Command) {
	f.values = map[string]*string{}
	for _, setting := range provision.DefaultSettings().List() {
		flag := strings.ReplaceAll(setting.Name, "_", "-")
		f.values[setting.Name] = cmd.Flags().String(flag, "", setting.Help)
	}
}

// settings reads the site's settings: the file, the environment, then flags.
func (f *siteFlags) settings() (*provision.Settings, error) {
	path, mustExist := f.path()
	s, err := provision.ReadSettings(path, mustExist, os.Environ())
	if err != nil {
		return nil, err
	}
	for name, value := range f.values {
		if *value == "" {
			continue
		}
		if err := s.Set(name, *value); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// path is the settings' file, and whether it must be there: it must if somebody named it.
func (f *siteFlags) path() (path string, mustExist bool) {
	if f.config != "" {
		return f.config, true
	}
	if path := os.Getenv("LABCTL_CONFIG"); path != "" {
		return path, true
	}
	return filepath.Join(xdg.ConfigHome, "labctl", "config.hcl"), false
}

// store is where this user's instances are.
func store() *provision.Store {
	return &provision.Store{Dir: filepath.Join(xdg.StateHome, "labctl", "instances")}
}

// instance is the instance that a command line means: the one it names, or the only one there is.
func instance(store *provision.Store, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	names, err := store.Names()
	if err != nil {
		return "", err
	}
	switch len(names) {
	case 0:
		return "", errors.New("there is no lab instance: make one with \"labctl up LAB\"")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("there are several lab instances, name one of them: %s", strings.Join(names, ", "))
}

// completeInstance proposes the instances there are.
func completeInstance([]string) ([]string, cobra.ShellCompDirective) {
	names, err := store().Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// appPods turns names of a lab's apps into the pods that Hubble is asked for: "namespace/app-".
func appPods(lab *labs.Lab, names []string) ([]string, error) {
	var pods []string
	for _, name := range names {
		if namespace, rest, ok := strings.Cut(name, "/"); ok {
			pods = append(pods, namespace+"/"+rest)
			continue
		}
		found := false
		for _, app := range lab.Apps {
			if app.Name == name {
				pods, found = append(pods, app.Namespace+"/"+app.Name), true
			}
		}
		if !found {
			var known []string
			for _, app := range lab.Apps {
				known = append(known, app.Name)
			}
			return nil, fmt.Errorf("the lab has no app %q; it has %s (a pod is given as NAMESPACE/POD)", name, strings.Join(known, ", "))
		}
	}
	return pods, nil
}

// manager runs the life cycle of instances with the site's settings.
func (a *app) manager(site *siteFlags) (*provision.Manager, error) {
	settings, err := site.settings()
	if err != nil {
		return nil, err
	}
	return &provision.Manager{
		Store: store(), Settings: settings, Providers: providers(),
		Cache: filepath.Join(xdg.CacheHome, "labctl"), Log: a.log(), Now: a.now,
	}, nil
}

// managed is the manager, and the instance that a command line means.
func (a *app) managed(site *siteFlags, args []string) (*provision.Manager, string, error) {
	m, err := a.manager(site)
	if err != nil {
		return nil, "", err
	}
	name, err := instance(m.Store, args)
	return m, name, err
}

// infra gives an error of package provision its exit code: interrupted, the user's fault, or the machine's.
func infra(ctx context.Context, err error) error {
	var usage *provision.UsageError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Canceled
	case errors.As(err, &usage), errors.Is(err, provision.ErrNoInstance):
		return err
	}
	return infraError{err}
}

// labOf reads the lab that an instance is of, as it was read for its up.
func labOf(s *provision.Store, instance string) (*labs.Lab, error) {
	st, err := s.Read(instance)
	if err != nil {
		return nil, err
	}
	return st.Lab.Load(release)
}

// ref says how to read the lab again from anywhere.
func (f *labFlags) ref(nameOrDir string, lab *labs.Lab) (provision.LabRef, error) {
	ref := provision.LabRef{Name: lab.Name, Title: lab.Title, Source: nameOrDir, Digest: lab.Digest}
	if _, err := os.Stat(nameOrDir); err == nil {
		abs, err := filepath.Abs(nameOrDir)
		if err != nil {
			return ref, err
		}
		ref.Source = abs
	}
	opts, err := f.options()
	if err != nil {
		return ref, err
	}
	ref.Vars = opts.Vars
	for _, file := range f.varFiles {
		abs, err := filepath.Abs(file)
		if err != nil {
			return ref, err
		}
		ref.VarFiles = append(ref.VarFiles, abs)
	}
	return ref, nil
}
