package main

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// labFlags are the flags of every command that reads a lab.
type labFlags struct {
	vars     []string
	varFiles []string
}

func (f *labFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "set a variable of the lab, `NAME=VALUE`; may be given more than once")
	cmd.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "read variables of the lab from an HCL `FILE`; may be given more than once")
}

func (f *labFlags) options() (labs.LoadOptions, error) {
	opts := labs.LoadOptions{Vars: map[string]string{}, VarFiles: f.varFiles, ToolVersion: release}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return opts, fmt.Errorf("--var %q: want NAME=VALUE", v)
		}
		opts.Vars[name] = value
	}
	return opts, nil
}

// labError is a lab with errors in its files.
type labError struct{ diags *labs.Diagnostics }

func (e labError) Error() string {
	n := 0
	for _, d := range e.diags.Diagnostics {
		if d.Severity == hcl.DiagError {
			n++
		}
	}
	if n == 1 {
		return "the lab has an error"
	}
	return fmt.Sprintf("the lab has %d errors", n)
}

// load reads the lab of a name or directory; its errors are a labError.
func (f *labFlags) load(nameOrDir string) (*labs.Lab, error) {
	lab, diags, err := f.read(nameOrDir)
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, labError{diags}
	}
	return lab, nil
}

// read reads the lab and returns its warnings too.
func (f *labFlags) read(nameOrDir string) (*labs.Lab, *labs.Diagnostics, error) {
	opts, err := f.options()
	if err != nil {
		return nil, nil, err
	}
	fsys, dir, err := labs.Open(nameOrDir)
	if err != nil {
		return nil, nil, err
	}
	lab, diags := labs.Load(fsys, dir, opts)
	return lab, diags, nil
}

// labArg is the LAB of a command line: a shipped lab's name or a directory, by default the current one.
func labArg(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// engineFlags choose what judges the connections.
type engineFlags struct {
	offline   bool
	engine    string
	semantics string
}

func (f *engineFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false, "work the verdicts out from the manifests, without a cluster: --engine offline")
	cmd.Flags().StringVar(&f.engine, "engine", "", "`ENGINE` that judges connections: offline, live or both")
	f.registerSemantics(cmd)
	cmd.MarkFlagsMutuallyExclusive("offline", "engine")
	complete(cmd, "engine", engineLive, engineOffline, engineBoth)
}

func (f *engineFlags) registerSemantics(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.semantics, "semantics", string(policy.Cilium),
		"whose reading of a NetworkPolicy counts where the two differ: cilium or kubernetes")
	complete(cmd, "semantics", string(policy.Cilium), string(policy.Kubernetes))
}

// Engines.
const (
	engineOffline = "offline"
	engineLive    = "live"
	engineBoth    = "both"
)

// check refuses engines that there are not.
func (f *engineFlags) check() error {
	switch f.chosen() {
	case engineOffline, engineLive, engineBoth:
		return nil
	}
	return fmt.Errorf("--engine %s: want offline, live or both", f.engine)
}

// chosen is the engine that the flags name; by default the live one.
func (f *engineFlags) chosen() string {
	switch {
	case f.offline:
		return engineOffline
	case f.engine == "":
		return engineLive
	}
	return f.engine
}

// config is how the rule model reads policies.
func (f *engineFlags) config() (policy.Config, error) {
	cfg := policy.Config{Semantics: policy.Semantics(f.semantics)}
	if cfg.Semantics != policy.Cilium && cfg.Semantics != policy.Kubernetes {
		return cfg, fmt.Errorf("--semantics %s: want cilium or kubernetes", f.semantics)
	}
	return cfg, nil
}

func (f *engineFlags) open(lab *labs.Lab) (grade.Engine, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	return offline.New(lab, cfg)
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// readSubmission reads the submission at a path, or standard input for "-".
func (a *app) readSubmission(name string, g *grade.Grader) (*grade.Submission, error) {
	read := func() (*grade.Submission, error) { return g.ReadSubmission(name, manifest.DefaultLimits()) }
	if name == "-" {
		a.log().Debug("reading standard input")
		read = func() (*grade.Submission, error) { return g.ReadSubmissionStream("-", a.in, manifest.DefaultLimits()) }
	}
	sub, err := read()
	if err == nil {
		a.log().Debug("submission read", "path", name, "layout", sub.Layout, "files", len(sub.Files), "digest", sub.Digest)
	}
	return sub, err
}
