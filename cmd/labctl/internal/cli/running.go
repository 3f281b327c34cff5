package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// RunningLabs opens the lab instances of this user. Package cluster implements it, so that commands which also work
// offline do not depend on the code that reaches clusters.
type RunningLabs interface {
	// Instances returns the names of all instances.
	Instances() ([]string, error)
	// Open connects to an instance and locks it.
	Open(ctx context.Context, o OpenOptions) (RunningLab, error)
	// OpenPool opens the labs in which a class is graded.
	OpenPool(ctx context.Context, o PoolOptions) (Pool, error)
}

// OpenOptions choose a running lab.
type OpenOptions struct {
	Flags     *LiveFlags
	Instance  string    // its name; empty: the only instance there is
	Lab       *labs.Lab // its lab; nil: read it from where `labctl up` read it
	Command   string    // that holds the lock, for messages
	Semantics policy.Semantics
	Observe   bool // look at what is in force, and change nothing
}

// RunningLab is an open instance. Close it.
type RunningLab interface {
	Name() string
	Lab() *labs.Lab
	// Engine probes real pods; Model is the rule model of the same lab.
	Engine() LiveEngine
	Model() engine.Engine
	// Drops calls fn for each packet that a policy drops, until cancel is called.
	Drops(fn func(Drop)) (cancel func())
	// Ready fails unless policies are enforced and the lab is as it was deployed.
	Ready(ctx context.Context) error
	// Grade resets the lab, grades a submission checkpoint by checkpoint, resets the lab again, and closes it. both
	// asks the rule model too.
	Grade(ctx context.Context, grader *grade.Grader, sub *submission.Submission, both bool,
		opts grade.Options) (*grade.Report, error)
	// Unlock lets other commands work on the instance.
	Unlock() error
	// Progress returns what the student has done.
	Progress() (Progress, error)
	// Begin does what a task sets up, and makes it the current one. state is what was done before it.
	Begin(ctx context.Context, task string, state *engine.State) error
	// Save records in the instance what a grading found.
	Save(rep *grade.Report, now time.Time) error
	Close()
}

// LiveEngine is the engine of a running lab; *live.Engine implements it.
type LiveEngine interface {
	engine.Engine
	Files(ctx context.Context) ([]manifest.File, error)
	Canary(ctx context.Context) error
	Integrity(ctx context.Context) (notes []string, err error)
	Undisturbed(ctx context.Context) error
	Tampering() []manifest.Problem
	Watch(ctx context.Context, changed func(ref string)) error
}

// Progress is how far a student is.
type Progress struct {
	Current string // task
	Begun   bool   // Current was begun with `labctl next`
	Done    map[string]bool
}

// Drop is a packet that a policy dropped.
type Drop struct {
	Connection string // the same for all packets that a client sends again
	Time       time.Time
	Text       string
}

// PoolOptions choose the labs in which a class is graded.
type PoolOptions struct {
	Flags     *LiveFlags
	LabFlags  *LabFlags
	LabArg    string // as given on the command line
	Lab       *labs.Lab
	Size      int    // 0: the running lab; otherwise this many labs are made
	On        string // the provider of their clusters
	Keep      bool   // leave them when the class is graded
	Yes       bool   // they may cost money; otherwise somebody is asked
	Semantics policy.Semantics
	Both      bool // ask the rule model too
}

// Pool grades submissions in running labs. Close it.
type Pool interface {
	Size() int
	Grade(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error)
	// Close takes down the labs that were made for the class, also when ctx has ended.
	Close(ctx context.Context) error
}

// OpenLab opens a running lab, if this labctl can reach clusters.
func (a *App) OpenLab(ctx context.Context, o OpenOptions) (RunningLab, error) {
	if a.Labs == nil {
		return nil, errOfflineOnly
	}
	return a.Labs.Open(ctx, o)
}

// HasInstance reports whether there is a lab instance of a name.
func (a *App) HasInstance(name string) (bool, error) {
	if a.Labs == nil {
		return false, nil
	}
	names, err := a.Labs.Instances()
	return slices.Contains(names, name), err
}

// OpenPool opens labs for a class, if this labctl can reach clusters.
func (a *App) OpenPool(ctx context.Context, o PoolOptions) (Pool, error) {
	if a.Labs == nil {
		return nil, errOfflineOnly
	}
	return a.Labs.OpenPool(ctx, o)
}

var errOfflineOnly = errors.New("this labctl was built without support for clusters: grade a submission with --offline")

// WhichInstanceError says that a command line does not say which instance is meant.
type WhichInstanceError struct{ Names []string } // that there are

func (e *WhichInstanceError) Error() string {
	if len(e.Names) == 0 {
		return "there is no lab instance; create one with \"labctl up LAB\""
	}
	return "there are several lab instances; choose one with --instance: " + strings.Join(e.Names, ", ")
}

// LiveFlags are the flags of commands that work on a running lab.
type LiveFlags struct {
	Config         string // file of the site's settings
	Instance       string // its name
	ConnectTimeout time.Duration
	NoHubble       bool
}

// Register adds the flags to a command.
func (f *LiveFlags) Register(a *App, cmd *cobra.Command) {
	RegisterConfig(cmd, &f.Config)
	RegisterInstance(a, cmd, &f.Instance,
		"lab instance to work on (default: the only one, or the one named after the lab)")
	cmd.Flags().DurationVar(&f.ConnectTimeout, "connect-timeout", 2*time.Second,
		"time to wait for an answer before a probe counts as dropped")
	cmd.Flags().BoolVar(&f.NoHubble, "no-hubble", false,
		"do not ask Hubble which packets were dropped; rely on timeouts alone")
	Under(cmd, FlagsOfRunning, "config", "instance", "connect-timeout", "no-hubble")
}

// RegisterInstance adds --instance, the one way in which all commands name a lab instance. --name, its former name in
// some of them, is still accepted.
func RegisterInstance(a *App, cmd *cobra.Command, name *string, usage string) {
	f := cmd.Flags()
	f.StringVar(name, "instance", "", "`NAME` of the "+usage)
	f.StringVar(name, "name", "", "")
	// The only error of these is a flag that does not exist.
	_ = f.MarkHidden("name")
	for _, flag := range []string{"instance", "name"} {
		_ = cmd.RegisterFlagCompletionFunc(flag,
			func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return a.CompleteInstance(nil)
			})
	}
	cmd.MarkFlagsMutuallyExclusive("instance", "name")
}

// RegisterConfig adds --config, which names the file of the site's settings.
func RegisterConfig(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "`FILE` with the site's settings (default: $LABCTL_CONFIG, or labctl/config.hcl in your configuration directory)")
}

// CompleteInstance proposes the instances there are.
func (a *App) CompleteInstance([]string) ([]string, cobra.ShellCompDirective) {
	if a.Labs == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.Labs.Instances()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// LiveError makes an InfraError of what failed in a cluster, unless it is about the submission or an interruption.
func LiveError(ctx context.Context, err error) error {
	var refused *engine.Refused
	switch {
	case err == nil, errors.As(err, &refused):
		return err
	case ctx.Err() != nil:
		return context.Canceled
	}
	var infra InfraError
	var conflict *engine.ConflictError
	if errors.As(err, &conflict) && !errors.As(err, &infra) {
		err = fmt.Errorf("%w, or grade with --offline", err)
	}
	return InfraError{Err: err}
}
