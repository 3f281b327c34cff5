package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// upFlags are what up and plan have in common.
type upFlags struct {
	lab  cli.LabFlags
	site siteFlags
	opts provision.UpOptions
}

func (f *upFlags) register(app *cli.App, cmd *cobra.Command) {
	f.lab.Register(cmd)
	f.site.register(cmd)
	f.site.registerSettings(cmd)
	cli.RegisterInstance(app, cmd, &f.opts.Name, "lab instance (default: the lab's name)")
	cmd.Flags().StringVar(&f.opts.On, "on", "", "`PROVIDER` of the cluster block to use (default: the lab's first)")
	cmd.Flags().BoolVar(&f.opts.Recreate, "recreate", false,
		"delete the cluster, with your work in it, and create it again")
	cmd.Flags().BoolVar(&f.opts.Adopt, "adopt", false,
		"on an existing cluster: also change objects that labctl did not create")
	cmd.Flags().BoolVar(&f.opts.InstallCilium, "install-cilium", false,
		"on an existing cluster with another network: install Cilium in its place")
}

// read reads the lab and completes the options.
func (f *upFlags) read(nameOrDir string) error {
	lab, err := f.lab.Load(nameOrDir)
	if err != nil {
		return err
	}
	f.opts.Lab = lab
	f.opts.Tool = cli.ToolVersion()
	f.opts.Ref, err = labRef(&f.lab, nameOrDir, lab)
	return err
}

// upResult is the JSON of `labctl up`.
type upResult struct {
	FormatVersion int                    `json:"format_version"`
	Instance      string                 `json:"instance"`
	Lab           string                 `json:"lab"`
	Kubeconfig    string                 `json:"kubeconfig"`
	Context       string                 `json:"context"`
	Phases        []phaseTime            `json:"phases"`
	Baseline      []provision.Connection `json:"baseline"`
}

// phaseTime is how long a phase took; they overlap.
type phaseTime struct {
	Phase string `json:"phase"`
	// Kept: there was nothing to do.
	Kept         bool    `json:"kept"`
	StartSeconds float64 `json:"start_seconds"` // after the start of the command
	Seconds      float64 `json:"seconds"`
}

// milli rounds to thousandths.
func milli(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

func NewUpCommand(app *cli.App) *cobra.Command {
	var (
		flags  upFlags
		output cli.OutputFlag
		yes    bool
	)
	cmd := &cobra.Command{
		Use:   "up [LAB]",
		Short: "Create a lab instance: a cluster with Cilium, Hubble and the lab's apps",
		Long: `Create a lab instance: a cluster, Cilium with Hubble, and the lab's apps. At the end, labctl tests that policies are
enforced and tries every connection of the lab once.

"labctl up" keeps what exists and creates what is missing, so repeat it to resume after an interruption. If it fails, it
deletes what this run created, unless --retain is given.

Before it creates a cluster that costs money, it shows the price per hour and asks. --yes agrees in advance, and is
needed where there is no terminal to answer on.

Exit code: 0 the lab is ready; 2 usage error, or an invalid lab; 3 the machine or the cluster failed.`,
		Example: `  labctl up networkpolicy
  eval "$(labctl env)"
  labctl up mylab/ --instance mine --on existing
  labctl up networkpolicy --on gke --yes`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.read(cli.LabArg(args)); err != nil {
				return err
			}
			m, err := newManager(app, &flags.site)
			if err != nil {
				return err
			}
			flags.opts.Spend = agreement(app, yes, term.IsTerminal(int(os.Stdin.Fd())))
			view := newProgress(app)
			start := app.Now()
			times := []phaseTime{}
			m.Report = func(e provision.Event) {
				view.event(e)
				if e.Kind == provision.Done || e.Kind == provision.Kept {
					began := app.Now().Add(-e.Took).Sub(start).Seconds()
					times = append(times, phaseTime{
						e.Phase, e.Kind == provision.Kept, milli(began), milli(e.Took.Seconds()),
					})
				}
			}
			st, err := m.Up(cmd.Context(), flags.opts)
			view.close()
			if err != nil {
				return infra(cmd.Context(), err)
			}
			result := upResult{
				FormatVersion: 1, Instance: st.Name, Lab: st.Lab.Name,
				Kubeconfig: m.Store.Kubeconfig(st.Name), Context: st.Cluster.Context, Phases: times,
				Baseline: st.Baseline,
			}
			if output.Json() {
				return app.WriteJSON(result)
			}
			showUp(app, flags.opts.Lab, &result, app.Now().Sub(start).Seconds())
			return nil
		},
	}
	flags.register(app, cmd)
	output.Register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "create a cluster that costs money without asking")
	cmd.Flags().BoolVar(&flags.opts.Retain, "retain", false, "keep what a failed run created, to inspect it")
	cmd.Flags().StringVar(&flags.opts.Merge, "merge-kubeconfig", "", "also add the cluster to this kubeconfig `FILE`")
	return cmd
}

// agreement returns what asks a person whether a cluster may cost money, unless yes says so. Question and price are
// messages: the result alone is on standard output.
func agreement(a *cli.App, yes, terminal bool) func(string, provision.Cost) error {
	return func(what string, cost provision.Cost) error {
		if !yes && !terminal {
			return &provision.UsageError{Err: &provision.OptionError{Option: provision.OptionSpend, Err: fmt.Errorf(
				"nothing was created, since there is no terminal to ask on whether %s may cost money (%s); agree",
				what, cost)}}
		}
		fmt.Fprintf(a.Err, "%s: %s.\n", what, cost)
		if yes {
			return nil
		}
		fmt.Fprint(a.Err, "It costs that until \"labctl down\" deletes it. Create it? Type yes: ")
		line, err := bufio.NewReader(a.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !strings.EqualFold(strings.TrimSpace(line), "yes") {
			return &provision.UsageError{Err: errors.New("nothing was created, since you did not agree to the cost")}
		}
		return nil
	}
}

func showUp(a *cli.App, lab *labs.Lab, r *upResult, seconds float64) {
	works := 0
	for _, c := range r.Baseline {
		if c.Verdict == verdict.Allowed {
			works++
		}
	}
	fmt.Fprintf(a.Out, "%s is ready (%.1f s); %d of %s work without policies.\n",
		r.Instance, seconds, works, wording.Count(len(r.Baseline), "connection"))
	type step struct{ command, what string }
	next := []step{{fmt.Sprintf(`eval "$(labctl env --instance %s)"`, r.Instance), "use the lab with kubectl in this shell"}}
	if len(lab.Tasks) > 0 {
		next = append(next, step{fmt.Sprintf("labctl show %s %s", r.Lab, lab.Tasks[0].Name), "read the first task"})
	}
	next = append(next, step{"labctl down --instance " + r.Instance, "delete the lab when you are done"})
	width := 0
	for _, s := range next {
		width = max(width, len(s.command))
	}
	fmt.Fprintln(a.Out)
	for _, s := range next {
		fmt.Fprintf(a.Out, "  %-*s  %s\n", width, s.command, s.what)
	}
}

func NewPlanCommand(app *cli.App) *cobra.Command {
	var (
		flags  upFlags
		output cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:               "plan [LAB]",
		Short:             "Show what \"labctl up\" would create, change or keep",
		Long:              `Show what "labctl up" would create, change or keep, and what a cluster in the cloud costs. It changes nothing.`,
		Example:           `  labctl plan networkpolicy`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.read(cli.LabArg(args)); err != nil {
				return err
			}
			m, err := newManager(app, &flags.site)
			if err != nil {
				return err
			}
			plan, err := m.Plan(cmd.Context(), flags.opts)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.Json() {
				return app.WriteJSON(struct {
					FormatVersion int `json:"format_version"`
					*provision.Plan
				}{1, plan})
			}
			for _, act := range plan.Actions {
				fmt.Fprintf(app.Out, "%-7s %-9s %s\n", act.Kind, act.Phase, act.Detail)
			}
			if !plan.Changes() {
				fmt.Fprintln(app.Out, "\nNothing to do.")
			}
			return nil
		},
	}
	flags.register(app, cmd)
	output.Register(cmd)
	return cmd
}
