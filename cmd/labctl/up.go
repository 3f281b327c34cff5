package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// upFlags are what up and plan have in common.
type upFlags struct {
	lab  labFlags
	site siteFlags
	opts provision.UpOptions
}

func (f *upFlags) register(cmd *cobra.Command) {
	f.lab.register(cmd)
	f.site.register(cmd)
	f.site.registerSettings(cmd)
	cmd.Flags().StringVar(&f.opts.Name, "name", "", "`NAME` of the lab instance (default: the lab's)")
	cmd.Flags().StringVar(&f.opts.On, "on", "", "`PROVIDER` of the cluster block to use (default: the lab's first)")
	cmd.Flags().BoolVar(&f.opts.Adopt, "adopt", false, "on an existing cluster: change what labctl did not make, too")
}

// read reads the lab and completes the options.
func (f *upFlags) read(nameOrDir string) error {
	lab, err := f.lab.load(nameOrDir)
	if err != nil {
		return err
	}
	f.opts.Lab = lab
	f.opts.Tool = toolVersion()
	f.opts.Ref, err = f.lab.ref(nameOrDir, lab)
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

func newUpCommand(app *app) *cobra.Command {
	var (
		flags  upFlags
		output outputFlag
	)
	cmd := &cobra.Command{
		Use:   "up [LAB]",
		Short: "Build a lab: a cluster, Cilium with Hubble, the demo apps, and the proof that policies are enforced",
		Long: `Build a lab: a cluster, Cilium with Hubble, the demo apps, and the proof that policies are enforced.

What is there already is kept: a second up does only what is missing, and one that was interrupted, however, is
finished by the next. If it fails, what it made is removed again (--retain keeps it).

Exit code: 0 the lab is ready, 2 wrong use or a lab in error, 3 the machine or the cluster failed.`,
		Example: `  labctl up networkpolicy
  eval "$(labctl env networkpolicy)"
  labctl up mylab/ --name mine --on existing`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.read(labArg(args)); err != nil {
				return err
			}
			m, err := app.manager(&flags.site)
			if err != nil {
				return err
			}
			view := app.newProgress()
			start := app.now()
			times := []phaseTime{}
			m.Report = func(e provision.Event) {
				view.event(e)
				if e.Kind == provision.Done || e.Kind == provision.Kept {
					began := app.now().Add(-e.Took).Sub(start).Seconds()
					times = append(times, phaseTime{e.Phase, e.Kind == provision.Kept, milli(began), milli(e.Took.Seconds())})
				}
			}
			st, err := m.Up(cmd.Context(), flags.opts)
			view.close()
			if err != nil {
				return infra(cmd.Context(), err)
			}
			result := upResult{
				FormatVersion: 1, Instance: st.Name, Lab: st.Lab.Name,
				Kubeconfig: m.Store.Kubeconfig(st.Name), Context: st.Cluster.Context, Phases: times, Baseline: st.Baseline,
			}
			if output.json() {
				return app.writeJSON(result)
			}
			app.showUp(flags.opts.Lab, &result, app.now().Sub(start).Seconds())
			return nil
		},
	}
	flags.register(cmd)
	output.register(cmd)
	cmd.Flags().BoolVar(&flags.opts.Retain, "retain", false, "leave what a failed up made, to look at it")
	cmd.Flags().StringVar(&flags.opts.Merge, "merge-kubeconfig", "", "add the cluster to this kubeconfig `FILE` too")
	return cmd
}

func (a *app) showUp(lab *labs.Lab, r *upResult, seconds float64) {
	works := 0
	for _, c := range r.Baseline {
		if c.Verdict == labs.Allowed {
			works++
		}
	}
	fmt.Fprintf(a.out, "%s is ready (%.1f s); %d of %s work without a policy.\n", r.Instance, seconds, works, count(len(r.Baseline), "connection"))
	fmt.Fprintf(a.out, "\n  eval \"$(labctl env %s)\"     use it with kubectl in this shell\n", r.Instance)
	if len(lab.Tasks) > 0 {
		fmt.Fprintf(a.out, "  labctl show %s %s\n", r.Lab, lab.Tasks[0].Name)
	}
	fmt.Fprintf(a.out, "  labctl down %s             when you are done\n", r.Instance)
}

func newPlanCommand(app *app) *cobra.Command {
	var (
		flags  upFlags
		output outputFlag
	)
	cmd := &cobra.Command{
		Use:               "plan [LAB]",
		Short:             "Show what labctl up would create, change or keep",
		Example:           `  labctl plan networkpolicy`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.read(labArg(args)); err != nil {
				return err
			}
			m, err := app.manager(&flags.site)
			if err != nil {
				return err
			}
			plan, err := m.Plan(cmd.Context(), flags.opts)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.json() {
				return app.writeJSON(struct {
					FormatVersion int `json:"format_version"`
					*provision.Plan
				}{1, plan})
			}
			for _, act := range plan.Actions {
				fmt.Fprintf(app.out, "%-7s %-9s %s\n", act.Kind, act.Phase, act.Detail)
			}
			if !plan.Changes() {
				fmt.Fprintln(app.out, "\nNothing to do.")
			}
			return nil
		},
	}
	flags.register(cmd)
	output.register(cmd)
	return cmd
}
