package batchjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cmd/labctl/internal/class"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/jobs"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/internal/wording"
)

// clusterFlags choose a cluster of the user's own.
type clusterFlags struct {
	kubeconfig string
	context    string
	namespace  string
}

func (f *clusterFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "",
		"kubeconfig `FILE` of the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.context, "context", "", "kubeconfig `CONTEXT` (default: the current one)")
	flags.StringVar(&f.namespace, "namespace", "", "`NAMESPACE` of the Job (default: the context's)")
}

func (f *clusterFlags) open() (*kube.Client, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	raw := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: f.context})
	client, err := kube.New(raw)
	if err != nil {
		return nil, "", err
	}
	if f.namespace == "" {
		if f.namespace, _, err = raw.Namespace(); err != nil {
			return nil, "", err
		}
	}
	return client, f.namespace, nil
}

// Commands are the subcommands of `labctl batch` for Jobs. finalExitCode is the exit code for a cli.FinalError.
func Commands(app *cli.App, finalExitCode int32) []*cobra.Command {
	return []*cobra.Command{
		newBatchSubmitCommand(app, finalExitCode), newBatchStatusCommand(app), newBatchCancelCommand(app),
		newBatchCollectCommand(app), newBatchWorkCommand(app),
	}
}

// submitOptions are the flags of `labctl batch submit`.
type submitOptions struct {
	app     *cli.App
	lab     cli.LabFlags
	engine  cli.EngineFlags
	cluster clusterFlags
	cfg     batch.Config
	handIn  class.HandInFlags
	spec    jobs.JobSpec
	shards  int
	memory  string
	cpu     string
	ttl     time.Duration
	egress  []string
	detach  bool
}

func newBatchSubmitCommand(app *cli.App, finalExitCode int32) *cobra.Command {
	o := submitOptions{app: app, spec: jobs.JobSpec{FinalExitCode: finalExitCode}}
	cmd := &cobra.Command{
		Use:   "submit LAB SUBMISSIONS --out URL --image IMAGE",
		Short: "Grade a class on a Kubernetes cluster, as an Indexed Job",
		Long: `Grade a class on a Kubernetes cluster. SUBMISSIONS and --out are URLs in object storage (s3://, gs://, azblob://), or of
directories on a volume that the pods mount too (file://, with --volume-claim). The names of the submissions must be
student IDs. The workers write their results to --out.

labctl splits the submissions into shards, and each shard is an index of one Job. If a worker dies, a new one resumes
and loses seconds of work. The workers have no access to the cluster, and their NetworkPolicy allows only DNS and the
storage. The command follows the Job; Ctrl-C leaves it running. Repeat the command to resume. At the end,
"labctl batch collect" writes the same files as "labctl batch" on one machine.

Exit code: 0 all shards are done; 2 usage error, or an invalid lab; 3 some shards failed, or the cluster or the storage
failed; 130 interrupted (the Job continues).`,
		Example: `  labctl batch submit networkpolicy 's3://class/week-3?region=eu-central-1' --out 's3://class/graded?region=eu-central-1' \
    --image registry.example.org/labctl:0.1.0 --secret storage --parallelism 8
  labctl batch submit networkpolicy file:///data/week-3 --out file:///data/graded --volume-claim class --image labctl:0.1.0`,
		Args: cli.Args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.submit(cmd.Context(), args[0], args[1])
		},
	}
	o.lab.Register(cmd)
	o.engine.RegisterSemantics(cmd)
	f := cmd.Flags()
	o.cluster.register(f)
	f.StringVar(&o.spec.Destination, "out", "", "`URL` for the results")
	f.StringVar(&o.spec.Image, "image", "", "`IMAGE` of the workers, with this version of labctl")
	f.IntVar(&o.spec.Parallelism, "parallelism", 4, "shards to grade in parallel")
	f.IntVar(&o.shards, "shards", 0, fmt.Sprintf("number of shards (default: one per %d submissions)", jobs.MaxShard))
	f.StringVar(&o.spec.Name, "name", "", "`NAME` of the Job (default: from the lab and the run)")
	f.IntVar(&o.spec.Retries, "retries", 6, "retries per shard when its worker fails")
	f.StringVar(&o.memory, "memory", "1Gi", "memory of a worker")
	f.StringVar(&o.cpu, "cpu", "1", "CPUs of a worker")
	f.StringVar(&o.spec.Queue, "queue", "", "`NAME` of the Kueue queue for the Job")
	f.StringVar(&o.spec.Secret, "secret", "",
		"`NAME` of the Secret with the storage's credentials, as environment variables and as files in "+
			jobs.SecretPath)
	f.StringVar(&o.spec.VolumeClaim, "volume-claim", "", "`NAME` of the PersistentVolumeClaim for file:// URLs")
	f.StringVar(&o.spec.VolumePath, "volume-path", "/data", "`PATH` where the volume is mounted, here and in the pods")
	f.StringSliceVar(&o.egress, "egress", nil,
		"destination that the workers may reach instead of the storage's endpoint, as `ADDRESS/BITS:PORT`; repeatable")
	f.DurationVar(&o.ttl, "ttl", 24*time.Hour, "time to keep the Job after it ends; results stay in --out")
	f.BoolVar(&o.detach, "detach", false, "start the Job and do not wait for it")
	o.handIn.Register(cmd)
	class.RegisterGrading(cmd, &o.cfg)
	return cmd
}

// submit submits the class at a URL and follows its Job.
func (o *submitOptions) submit(ctx context.Context, lab, source string) error {
	if err := o.check(source); err != nil {
		return err
	}
	loaded, err := class.LoadGrading(&o.cfg, &o.lab, &o.engine, lab)
	if err != nil {
		return err
	}
	if err := o.handIn.Apply(loaded, &o.cfg); err != nil {
		return err
	}
	o.cfg.Tool = cli.ToolVersion()
	client, namespace, err := o.cluster.open()
	if err != nil {
		return err
	}
	o.spec.Namespace = namespace
	to, err := storage.Open(ctx, o.spec.Destination)
	if err != nil {
		return err
	}
	defer to.Close()
	run, resumed, err := o.plan(ctx, to, source)
	if err != nil {
		return err
	}
	o.spec.Run = run
	o.spec.Name = cmp.Or(o.spec.Name, jobName(loaded.Name, run.ID))
	if err := o.spec.Check(); err != nil {
		return submitError(err)
	}
	if err := o.setEgress(ctx, client, source); err != nil {
		return err
	}
	fmt.Fprintf(o.app.Err, "run %s: %s in %s, in %s\n", run.ID, wording.Count(run.Plan.Total(), "submission"),
		wording.Count(len(run.Plan.Shards), "shard"), to.Name())
	if resumed {
		p, err := run.Progress(ctx)
		if err != nil {
			return storageError(err)
		}
		fmt.Fprintf(o.app.Err, "resuming: %d are already graded\n", p.Done)
	}
	if _, err := o.spec.Start(ctx, client.Typed); err != nil {
		return clusterError(ctx, submitError(err))
	}
	fmt.Fprintf(o.app.Err, "Job %s/%s\n", namespace, o.spec.Name)
	f := follower{
		app: o.app, client: client, namespace: namespace, name: o.spec.Name, run: run, args: o.cluster,
		destination: o.spec.Destination,
	}
	if o.detach {
		f.howToGoOn()
		return nil
	}
	return f.follow(ctx)
}

// check checks the flags, before anything is read.
func (o *submitOptions) check(source string) (err error) {
	if o.spec.Destination == "" {
		return errors.New("--out is missing; name the URL for the results")
	}
	if !intake.IsURL(source) || !intake.IsURL(o.spec.Destination) {
		return errors.New("SUBMISSIONS and --out must be URLs that the pods can reach: s3://, gs://, azblob://, " +
			"or file:// on a volume (--volume-claim)")
	}
	if o.spec.Memory, err = resource.ParseQuantity(o.memory); err != nil {
		return fmt.Errorf("--memory %s: %w", o.memory, err)
	}
	if o.spec.CPU, err = resource.ParseQuantity(o.cpu); err != nil {
		return fmt.Errorf("--cpu %s: %w", o.cpu, err)
	}
	o.spec.TTL = int32(o.ttl / time.Second)
	return class.CheckGrading(&o.cfg)
}

// plan finds the submissions, and writes the plan of the run to the destination.
func (o *submitOptions) plan(ctx context.Context, to *storage.Store, source string) (*jobs.Run, bool, error) {
	found, release, err := class.FindSubmissions(ctx, intake.Search{From: intake.Plain}, FindSubmissions, &o.cfg,
		[]string{source})
	if err != nil {
		return nil, false, err
	}
	defer release()
	class.WarnAbout(o.app.Log(), found)
	opts, err := o.lab.Options()
	if err != nil {
		return nil, false, err
	}
	semantics, err := o.engine.Config()
	if err != nil {
		return nil, false, err
	}
	run, resumed, err := jobs.Submit(ctx, to, jobs.Request{
		Config: o.cfg, Options: opts, Semantics: semantics.Semantics, Source: source, Entries: found.Entries,
		Shards: o.shards,
	})
	if err != nil {
		return nil, false, storageError(err)
	}
	return run, resumed, nil
}

// setEgress sets where the workers may connect to: what --egress says, otherwise the storage.
func (o *submitOptions) setEgress(ctx context.Context, client *kube.Client, source string) (err error) {
	for _, text := range o.egress {
		e, err := jobs.ParseEgress(text)
		if err != nil {
			return fmt.Errorf("--egress %s: %w", text, err)
		}
		o.spec.Egress = append(o.spec.Egress, e)
	}
	if len(o.egress) > 0 {
		return nil
	}
	o.spec.Egress, err = jobs.EgressTo(ctx, client.Typed, o.spec.Namespace, source, o.spec.Destination)
	if err != nil {
		return submitError(err)
	}
	return nil
}

// jobName is the default name of a run's Job.
func jobName(lab, run string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(lab))
	return "labctl-" + strings.Trim(name[:min(len(name), 30)], "-") + "-" + run
}

// specFlags are the flags that set the fields of a jobs.JobSpec and of its plan.
var specFlags = map[string]string{
	"Name": "--name", "Image": "--image", "Parallelism": "--parallelism", "Shards": "--shards",
	"VolumeClaim": "--volume-claim",
	"VolumePath":  "--volume-path",
}

// submitError adds to an error of package jobs which flag helps.
func submitError(err error) error {
	var (
		spec     *jobs.SpecError
		exists   *jobs.JobExistsError
		endpoint *jobs.EndpointError
	)
	switch {
	case errors.As(err, &spec):
		return fmt.Errorf("%s: %w", specFlags[spec.Field], spec.Err)
	case errors.As(err, &exists) && exists.Run == "":
		return fmt.Errorf("%w; choose another name with --name", err)
	case errors.As(err, &exists):
		return fmt.Errorf("%w; wait until it ends, cancel it with \"labctl batch cancel %s\", or choose another "+
			"name with --name", err, exists.Name)
	case errors.As(err, &endpoint):
		return fmt.Errorf("%w; name the addresses that the workers may reach with --egress ADDRESS/BITS:PORT", err)
	}
	return err
}

// clusterError makes an infrastructure error of what the cluster would not do.
func clusterError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return cli.InfraError{Err: err}
}

// follower shows how far a Job is.
type follower struct {
	app         *cli.App
	client      *kube.Client
	namespace   string
	name        string
	destination string
	run         *jobs.Run
	args        clusterFlags

	mu    sync.Mutex
	state jobs.State
	first *jobs.Progress
	since time.Time
	said  map[string]bool
	drawn bool
}

// followEvery is how often the destination is listed; the Job itself is watched.
const followEvery = 3 * time.Second

// follow returns when the Job has ended.
func (f *follower) follow(ctx context.Context) error {
	f.said = map[string]bool{}
	ended := make(chan error, 1)
	changed := make(chan struct{}, 1)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		ended <- jobs.Watch(watching, f.client.Typed, f.namespace, f.name, func(job *batchv1.Job) {
			f.mu.Lock()
			f.state = jobs.StateOf(job)
			f.mu.Unlock()
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		var err error
		over := false
		select {
		case err = <-ended:
			over = true
		case <-changed:
			continue
		case <-tick.C:
		}
		if ctx.Err() != nil {
			f.clear()
			fmt.Fprintln(f.app.Err, "The Job continues.")
			f.howToGoOn()
			return ctx.Err()
		}
		if err != nil {
			f.clear()
			return cli.InfraError{Err: err}
		}
		if err := f.show(ctx, over); err != nil && over {
			return storageError(err)
		}
		if over {
			return f.result(ctx)
		}
	}
}

func (f *follower) now() jobs.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// show prints a line, and what keeps pods from working once.
func (f *follower) show(ctx context.Context, over bool) error {
	p, err := f.run.Progress(ctx)
	if err != nil {
		return err
	}
	state := f.now()
	if f.first == nil {
		f.first, f.since = p, f.app.Now()
	}
	if !over && state.Active > 0 && (state.Ready < state.Active || state.FailedShards != "") {
		reasons, err := jobs.Trouble(ctx, f.client.Typed, f.namespace, f.name)
		if err == nil {
			f.complain(reasons)
		}
	}
	line := fmt.Sprintf("%d of %d graded", p.Done, p.Total)
	line += class.Pace(p.Done-f.first.Done, p.Total-p.Done, f.app.Now().Sub(f.since))
	line += fmt.Sprintf(" · shards: %d working, %d of %d done", state.Ready, state.Succeeded, len(f.run.Plan.Shards))
	if state.FailedShards != "" {
		line += ", failed: " + state.FailedShards
	}
	if state.Suspended {
		line += " · the Job is suspended"
	}
	if p.Errors > 0 {
		line += " · " + wording.Count(p.Errors, "error")
	}
	if f.app.Terminal.Is && !over {
		fmt.Fprintf(f.app.Err, "\r\x1b[K%s", line)
		f.drawn = true
		return nil
	}
	f.clear()
	fmt.Fprintln(f.app.Err, line)
	return nil
}

func (f *follower) complain(reasons []string) {
	for _, r := range reasons {
		if !f.said[r] {
			f.said[r] = true
			f.clear()
			fmt.Fprintln(f.app.Err, r)
		}
	}
}

func (f *follower) clear() {
	if f.drawn {
		fmt.Fprint(f.app.Err, "\r\x1b[K")
		f.drawn = false
	}
}

// result says what came of a Job that has ended.
func (f *follower) result(ctx context.Context) error {
	state := f.now()
	if !state.Failed {
		fmt.Fprintf(f.app.Out,
			"All shards are done. Write the results with:\n  labctl batch collect --from '%s' --run %s --out DIR\n",
			f.destination, f.run.ID)
		return nil
	}
	if reasons, err := jobs.Trouble(ctx, f.client.Typed, f.namespace, f.name); err == nil {
		f.complain(reasons)
	}
	what := "the Job failed: " + state.Reason
	if state.FailedShards != "" {
		what = "shards failed: " + state.FailedShards
	}
	return cli.InfraError{Err: fmt.Errorf("%s; fix the cause, then repeat the command to resume", what)}
}

func (f *follower) howToGoOn() {
	at := f.name
	for _, flag := range [][2]string{
		{"kubeconfig", f.args.kubeconfig}, {"context", f.args.context}, {"namespace", f.namespace},
	} {
		if flag[1] != "" {
			at += " --" + flag[0] + " " + flag[1]
		}
	}
	fmt.Fprintf(f.app.Err, "  labctl batch status %s --watch\n  labctl batch cancel %s\n  labctl batch collect "+
		"--from '%s' --run %s --out DIR\n", at, at, f.destination, f.run.ID)
}

func newBatchStatusCommand(app *cli.App) *cobra.Command {
	var (
		cluster clusterFlags
		output  cli.OutputFlag
		watch   bool
	)
	cmd := &cobra.Command{
		Use:   "status JOB",
		Short: "Show the progress of a Job",
		Long: `Show the progress of a Job that "labctl batch submit" started: the graded submissions, the shards, and what keeps its
pods from working.`,
		Example: `  labctl batch status labctl-networkpolicy-3f2a9c01b7de
  labctl batch status labctl-networkpolicy-3f2a9c01b7de --watch`,
		Args: cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			client, namespace, err := cluster.open()
			if err != nil {
				return err
			}
			job, id, destination, err := jobs.FindJob(ctx, client.Typed, namespace, args[0])
			if errors.Is(err, jobs.ErrNoJob) {
				err = fmt.Errorf(
					"%w: it may have expired (--ttl); its results are still in the \"batch submit --out\" URL", err)
			}
			if err != nil {
				return clusterError(ctx, err)
			}
			to, err := storage.Open(ctx, destination)
			if err != nil {
				return err
			}
			defer to.Close()
			run, err := jobs.Find(ctx, to, id)
			if err != nil {
				return storageError(err)
			}
			f := follower{
				app: app, client: client, namespace: namespace, name: args[0], run: run, args: cluster,
				destination: destination, state: jobs.StateOf(job), said: map[string]bool{},
			}
			if watch {
				return f.follow(ctx)
			}
			if output.Json() {
				p, err := run.Progress(ctx)
				if err != nil {
					return storageError(err)
				}
				s := f.state
				return app.WriteJSON(jobStatus{
					1, args[0], namespace, id, destination, s.Active, s.Succeeded, s.FailedShards, s.Suspended, s.Ended,
					s.Failed, s.Reason, p,
				})
			}
			if err := f.show(ctx, true); err != nil {
				return storageError(err)
			}
			if f.state.Ended {
				return f.result(ctx)
			}
			reasons, err := jobs.Trouble(ctx, client.Typed, namespace, args[0])
			if err != nil {
				return clusterError(ctx, err)
			}
			f.complain(reasons)
			return nil
		},
	}
	cluster.register(cmd.Flags())
	output.Register(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "follow the Job until it ends")
	return cmd
}

// jobStatus is the JSON of `labctl batch status`.
type jobStatus struct {
	FormatVersion int            `json:"format_version"`
	Job           string         `json:"job"`
	Namespace     string         `json:"namespace"`
	Run           string         `json:"run"`
	Destination   string         `json:"destination"`
	Active        int            `json:"active"`
	DoneShards    int            `json:"done_shards"`
	FailedShards  string         `json:"failed_shards"`
	Suspended     bool           `json:"suspended"`
	Ended         bool           `json:"ended"`
	Failed        bool           `json:"failed"`
	Reason        string         `json:"reason"`
	Progress      *jobs.Progress `json:"progress"`
}

func newBatchCancelCommand(app *cli.App) *cobra.Command {
	var cluster clusterFlags
	cmd := &cobra.Command{
		Use:     "cancel JOB",
		Short:   "Delete a Job and keep its results",
		Long:    `Delete a Job that "labctl batch submit" started, with its pods and its NetworkPolicy. Its results stay in the --out URL.`,
		Example: `  labctl batch cancel labctl-networkpolicy-3f2a9c01b7de`,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, namespace, err := cluster.open()
			if err != nil {
				return err
			}
			if err := jobs.Cancel(cmd.Context(), client.Typed, namespace, args[0]); err != nil {
				return clusterError(cmd.Context(), err)
			}
			fmt.Fprintf(app.Out,
				"Deleted the Job %s/%s and kept its results. Repeat \"labctl batch submit\" to resume.\n",
				namespace, args[0])
			return nil
		},
	}
	cluster.register(cmd.Flags())
	return cmd
}

func newBatchCollectCommand(app *cli.App) *cobra.Command {
	var (
		output  cli.OutputFlag
		from    string
		id      string
		formats []string
		cfg     batch.Config
		partial bool
	)
	cmd := &cobra.Command{
		Use:   "collect --from URL --out DIR",
		Short: "Write the results of a Job to a directory",
		Long: `Write the results of a Job to a directory. The files are the same, byte for byte, as those of "labctl batch" on one
machine with the same submissions and options. If results are missing, labctl names the shards, writes nothing and
exits with code 3. With --partial, missing results are errors, which are never 0 points.`,
		Example: `  labctl batch collect --from 's3://class/graded?region=eu-central-1' --out graded/
  labctl batch collect --from file:///data/graded --out graded/ --format canvas-csv`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if from == "" || cfg.Out == "" {
				return errors.New("--from and --out are required: the URL that \"batch submit --out\" named, and " +
					"the directory for the results")
			}
			to, err := storage.Open(ctx, from)
			if err != nil {
				return err
			}
			defer to.Close()
			run, err := jobs.Find(ctx, to, id)
			if err != nil {
				return storageError(err)
			}
			planned, err := run.Load(ctx, cli.ToolVersion())
			if err != nil {
				return storageError(err)
			}
			list, err := class.FindFormats(formats, planned.NoReports)
			if err != nil {
				return err
			}
			planned.Out, planned.Formats, planned.Assignment, planned.Similarity, planned.Log = cfg.Out, list,
				cfg.Assignment, cfg.Similarity, app.Log()
			view := class.ProgressView{App: app, Start: app.Now(), What: "segments read"}
			planned.Report = view.Report
			sum, err := run.Collect(ctx, planned, partial, func(done, total int) {
				view.Report(batch.Progress{Done: done, Total: total})
			})
			view.End()
			var gap *jobs.Incomplete
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, &gap):
				return cli.InfraError{Err: fmt.Errorf("%w\nNothing was written. Repeat \"labctl batch submit\" to "+
					"grade what is missing, or write the rest with --partial", err)}
			case err != nil:
				return cli.InfraError{Err: err}
			}
			return class.ShowSummary(app, sum, output.Json(), false, cfg.Out)
		},
	}
	output.Register(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`URL` with the results")
	f.StringVar(&id, "run", "", "`RUN` to collect, as \"batch submit\" prints it (default: the last one)")
	f.StringVar(&cfg.Out, "out", "", "`DIR` for the results")
	f.BoolVar(&partial, "partial", false, "write the results even if some are missing; these are errors")
	class.RegisterFormats(cmd, &formats, &cfg)
	return cmd
}

func newBatchWorkCommand(app *cli.App) *cobra.Command {
	var run string
	index := -1
	cmd := &cobra.Command{
		Use:     "work URL --run RUN",
		Short:   "Grade one shard of a run, in a pod of the Job",
		Long:    `Grade one shard of a run. The pods of a Job run this command; use "labctl batch submit" to start the Job.`,
		Example: `  labctl batch work file:///data/graded --run 3f2a9c01b7de --shard 0`,
		Hidden:  true,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if index < 0 {
				text := os.Getenv("JOB_COMPLETION_INDEX")
				var err error
				if index, err = strconv.Atoi(text); err != nil {
					return cli.FinalError{Err: fmt.Errorf(
						"invalid JOB_COMPLETION_INDEX %q: workers run in an Indexed Job, or with --shard", text)}
				}
			}
			to, err := storage.Open(ctx, args[0])
			if err != nil {
				return workError(ctx, err)
			}
			defer to.Close()
			r, err := jobs.Find(ctx, to, run)
			if err != nil {
				return workError(ctx, err)
			}
			view := class.ProgressView{App: app, Start: app.Now()}
			err = jobs.Worker{
				Run: r, Shard: index, Tool: cli.ToolVersion(), Report: class.LimitMemory(view.Report), Log: app.Log(),
			}.Work(ctx)
			view.End()
			return workError(ctx, err)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "`RUN` to work on")
	cmd.Flags().IntVar(&index, "shard", -1, "number of the shard (default: $JOB_COMPLETION_INDEX)")
	return cmd
}

// workError decides whether a worker is worth another try: a Job does not try again what ends with the code of wrong
// use.
func workError(ctx context.Context, err error) error {
	var failed *storage.Error
	var disk *os.PathError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Canceled
	case storage.IsPermanent(err):
		return cli.FinalError{Err: err}
	case errors.As(err, &failed), errors.As(err, &disk):
		return cli.InfraError{Err: err}
	}
	return cli.FinalError{Err: err}
}
