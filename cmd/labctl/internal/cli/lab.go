package cli

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// LabFlags are the flags of every command that reads a lab.
type LabFlags struct {
	Vars     []string
	VarFiles []string
}

func (f *LabFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.Vars, "var", nil, "set a variable of the lab, as `NAME=VALUE`; repeatable")
	cmd.Flags().StringArrayVar(&f.VarFiles, "var-file", nil, "HCL `FILE` with variables of the lab; repeatable")
	Under(cmd, FlagsOfLab, "var", "var-file")
}

func (f *LabFlags) Options() (labs.LoadOptions, error) {
	opts := labs.LoadOptions{Vars: map[string]string{}, VarFiles: f.VarFiles, ToolVersion: Release}
	for _, v := range f.Vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return opts, fmt.Errorf("invalid --var %q: use NAME=VALUE", v)
		}
		opts.Vars[name] = value
	}
	return opts, nil
}

// Load reads the lab of a name or directory; its errors are a labError.
func (f *LabFlags) Load(nameOrDir string) (*labs.Lab, error) {
	lab, diags, err := f.Read(nameOrDir)
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, LabError{diags}
	}
	return lab, nil
}

// Read reads the lab and returns its warnings too.
func (f *LabFlags) Read(nameOrDir string) (*labs.Lab, *labs.Diagnostics, error) {
	fsys, dir, err := labs.Open(nameOrDir)
	if err != nil {
		return nil, nil, err
	}
	return f.ReadFS(fsys, dir)
}

// ReadFS is Read for the lab at the root of fsys; messages call it dir.
func (f *LabFlags) ReadFS(fsys fs.FS, dir string) (*labs.Lab, *labs.Diagnostics, error) {
	opts, err := f.Options()
	if err != nil {
		return nil, nil, err
	}
	lab, diags := labs.Load(fsys, dir, opts)
	for _, d := range diags.Diagnostics {
		if unset, ok := hcl.DiagnosticExtra[labs.UnsetVariable](d); ok {
			d.Detail += fmt.Sprintf(" Set it: --var %[1]s=VALUE, or --var-file FILE with a line %[1]s = VALUE.", unset.Name)
		}
	}
	return lab, diags, nil
}

// LabArg is the LAB of a command line: a shipped lab's name or a directory, by default the current one.
func LabArg(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// EngineFlags choose what judges the connections.
type EngineFlags struct {
	offline   bool
	Engine    string
	Semantics string
}

func (f *EngineFlags) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false,
		"compute the verdicts from the manifests, without a cluster; the same as --engine offline")
	cmd.Flags().StringVar(&f.Engine, "engine", "",
		"`ENGINE` that evaluates connections: offline, live or both (default: live if the lab is running, otherwise offline)")
	f.RegisterSemantics(cmd)
	cmd.MarkFlagsMutuallyExclusive("offline", "engine")
	Complete(cmd, "engine", EngineLive, EngineOffline, EngineBoth)
}

func (f *EngineFlags) RegisterSemantics(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Semantics, "semantics", string(policy.Cilium),
		"how to read a NetworkPolicy where Cilium and Kubernetes differ: cilium or kubernetes")
	Complete(cmd, "semantics", string(policy.Cilium), string(policy.Kubernetes))
	Under(cmd, FlagsOfLab, "semantics")
}

// Engines.
const (
	EngineOffline = "offline"
	EngineLive    = "live"
	EngineBoth    = "both"
)

// Check refuses engines that there are not.
func (f *EngineFlags) Check() error {
	switch f.Chosen() {
	case EngineOffline, EngineLive, EngineBoth:
		return nil
	}
	return fmt.Errorf("invalid --engine %q: use offline, live or both", f.Engine)
}

// Chosen is the engine that the flags name; by default the live one.
func (f *EngineFlags) Chosen() string {
	switch {
	case f.offline:
		return EngineOffline
	case f.Engine == "":
		return EngineLive
	}
	return f.Engine
}

// Default reports whether the flags leave the choice of the engine to the command.
func (f *EngineFlags) Default() bool { return !f.offline && f.Engine == "" }

// Config is how the rule model reads policies.
func (f *EngineFlags) Config() (policy.Config, error) {
	cfg := policy.Config{Semantics: policy.Semantics(f.Semantics)}
	if cfg.Semantics != policy.Cilium && cfg.Semantics != policy.Kubernetes {
		return cfg, fmt.Errorf("invalid --semantics %q: use cilium or kubernetes", f.Semantics)
	}
	return cfg, nil
}

func (f *EngineFlags) Open(lab *labs.Lab) (engine.Engine, error) {
	cfg, err := f.Config()
	if err != nil {
		return nil, err
	}
	return offline.New(lab, cfg)
}

// ReadSubmission reads the submission at a path, or standard input for "-". If tasks are given, folders of tasks behind
// the last of them are not read.
func (a *App) ReadSubmission(name string, g *grade.Grader, tasks []string,
	limits manifest.Limits) (*submission.Submission, error) {
	rules, err := RulesFor(g, tasks)
	if err != nil {
		return nil, err
	}
	if err := NotOneTask(g.Lab(), name); err != nil {
		return nil, err
	}
	read := func() (*submission.Submission, error) { return rules.Read(name, limits) }
	if name == "-" {
		a.Log().Debug("reading standard input")
		read = func() (*submission.Submission, error) {
			return rules.ReadStream("-", a.In, limits)
		}
	}
	sub, err := read()
	if err == nil {
		a.Log().Debug("submission read", "path", name, "layout", sub.Layout, "files", len(sub.Files),
			"digest", sub.Digest)
	}
	return sub, lost(err)
}

// RulesFor returns the rules that read a submission for some tasks of the lab, as a person names them; none are all.
func RulesFor(g *grade.Grader, tasks []string) (*submission.Rules, error) {
	names, err := ResolveTasks(g.Lab(), tasks)
	if err != nil {
		return nil, err
	}
	last := -1
	for _, name := range names {
		last = max(last, g.Lab().TaskIndex(name))
	}
	if last < 0 {
		return g.Rules, nil
	}
	return g.Rules.Until(last), nil
}

// RegisterTasks adds --task, completed with the tasks of the lab that the command line names.
func RegisterTasks(cmd *cobra.Command, tasks *[]string, usage string) {
	cmd.Flags().StringArrayVar(tasks, "task", nil, usage)
	RegisterTaskCompletion(cmd)
}

func RegisterTaskCompletion(cmd *cobra.Command) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("task",
		func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return taskNames(LabArg(args)), cobra.ShellCompDirectiveNoFileComp
		})
}

func TaskList(lab *labs.Lab) []string {
	names := make([]string, len(lab.Tasks))
	for i := range lab.Tasks {
		names[i] = lab.Tasks[i].Name
	}
	return names
}

// FindTask returns the lab's task that a person names: by its name, its number (1 is the first) or its folder, also as a
// shell completes it.
func FindTask(lab *labs.Lab, ref string) (*labs.Task, error) {
	if trimmed := strings.TrimRight(ref, `/\`); trimmed != "" {
		ref = trimmed[strings.LastIndexAny(trimmed, `/\`)+1:]
	}
	if i := lab.ResolveTask(ref); i >= 0 {
		return &lab.Tasks[i], nil
	}
	names := TaskList(lab)
	if near := wording.DidYouMean(ref, names); near != "" {
		return nil, fmt.Errorf("the lab %s has no task %q.%s", lab.Name, ref, near)
	}
	return nil, fmt.Errorf("the lab %s has no task %q; its tasks are 1 to %d: %s",
		lab.Name, ref, len(names), strings.Join(names, ", "))
}

// ResolveHints replaces what a person calls the tasks in the names of hints ("3/port") by the tasks' names.
func ResolveHints(lab *labs.Lab, hints []string) ([]string, error) {
	var names []string
	for _, hint := range hints {
		if task, name, ok := strings.Cut(hint, "/"); ok {
			t, err := FindTask(lab, task)
			if err != nil {
				return nil, err
			}
			hint = t.Name + "/" + name
		}
		names = append(names, hint)
	}
	return names, nil
}

// ResolveTasks replaces what a person calls tasks (see FindTask) by the tasks' names.
func ResolveTasks(lab *labs.Lab, refs []string) ([]string, error) {
	var names []string
	for _, ref := range refs {
		t, err := FindTask(lab, ref)
		if err != nil {
			return nil, err
		}
		names = append(names, t.Name)
	}
	return names, nil
}
