package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// siteFlags are the flags of every command that works on lab instances: where the site's settings are.
type siteFlags struct {
	config   string
	instance string             // see registerInstance
	values   map[string]*string // settings given as flags, by name
}

func (f *siteFlags) register(cmd *cobra.Command) { cli.RegisterConfig(cmd, &f.config) }

// registerInstance adds --instance. As an argument the instance is still accepted.
func (f *siteFlags) registerInstance(app *cli.App, cmd *cobra.Command) {
	cli.RegisterInstance(app, cmd, &f.instance, "lab instance (default: the only one)")
	cmd.Args, cmd.ValidArgsFunction = cli.Args(0, 1), cli.CompleteArgs(app.CompleteInstance)
}

// registerSettings adds a flag for each site setting, for the commands that build something.
func (f *siteFlags) registerSettings(cmd *cobra.Command) {
	f.values = map[string]*string{}
	cli.Under(cmd, cli.FlagsOfSite, "config")
	for _, setting := range provision.DefaultSettings().List() {
		flag := strings.ReplaceAll(setting.Name, "_", "-")
		f.values[setting.Name] = cmd.Flags().String(flag, "", setting.Help)
		cli.Under(cmd, cli.FlagsOfSite, flag)
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

// choose returns the instance that a command line names with --instance or as an argument, or the only one there is.
func choose(store *provision.Store, flag string, args []string) (string, error) {
	switch {
	case flag != "" && len(args) > 0 && flag != args[0]:
		return "", fmt.Errorf("two instances are named, %s and %s; name one with --instance", flag, args[0])
	case flag != "":
		return flag, nil
	case len(args) > 0:
		return args[0], nil
	}
	names, err := store.Names()
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", &cli.WhichInstanceError{Names: names}
	}
	return names[0], nil
}

// newManager runs the life cycle of instances with the site's settings.
func newManager(a *cli.App, site *siteFlags) (*provision.Manager, error) {
	settings, err := site.settings()
	if err != nil {
		return nil, err
	}
	return &provision.Manager{
		Store: store(), Settings: settings, Providers: providers(),
		Cache: filepath.Join(xdg.CacheHome, "labctl"), Log: a.Log(), Now: a.Now,
	}, nil
}

// managed is the manager, and the instance that a command line means.
func managed(a *cli.App, site *siteFlags, args []string) (*provision.Manager, string, error) {
	m, err := newManager(a, site)
	if err != nil {
		return nil, "", err
	}
	name, err := choose(m.Store, site.instance, args)
	return m, name, err
}

// infra makes an InfraError of an error of package provision, unless it is an interruption or the user's fault.
func infra(ctx context.Context, err error) error {
	var usage *provision.UsageError
	err = withFlag(err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Canceled
	case errors.As(err, &usage), errors.Is(err, provision.ErrNoInstance):
		return err
	}
	return cli.InfraError{Err: err}
}

// withFlag adds to an error the flag that sets the option which avoids it.
func withFlag(err error) error {
	flags := map[provision.Option]string{
		provision.OptionName: "--instance", provision.OptionAdopt: "--adopt",
		provision.OptionInstallCilium: "--install-cilium", provision.OptionSpend: "--yes",
	}
	var option *provision.OptionError
	if errors.As(err, &option) {
		return fmt.Errorf("%w with %s", err, flags[option.Option])
	}
	return err
}

// labOf reads the lab that an instance is of, as it was read for its up.
func labOf(s *provision.Store, instance string) (*labs.Lab, error) {
	st, err := s.Read(instance)
	if err != nil {
		return nil, err
	}
	return st.Lab.Load(cli.Release)
}

// labRef says how to read the lab again from anywhere.
func labRef(f *cli.LabFlags, nameOrDir string, lab *labs.Lab) (provision.LabRef, error) {
	ref := provision.LabRef{Name: lab.Name, Title: lab.Title, Source: nameOrDir, Digest: lab.Digest}
	if _, err := os.Stat(nameOrDir); err == nil {
		abs, err := filepath.Abs(nameOrDir)
		if err != nil {
			return ref, err
		}
		ref.Source = abs
	}
	opts, err := f.Options()
	if err != nil {
		return ref, err
	}
	ref.Vars = opts.Vars
	for _, file := range f.VarFiles {
		abs, err := filepath.Abs(file)
		if err != nil {
			return ref, err
		}
		ref.VarFiles = append(ref.VarFiles, abs)
	}
	return ref, nil
}
