package main

import (
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
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/jobs"
	"github.com/labctl/labctl/grade/batch/storage"
)

// clusterFlags choose a cluster of the user's own.
type clusterFlags struct {
	kubeconfig string
	context    string
	namespace  string
}

func (f *clusterFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` of the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.context, "context", "", "`CONTEXT` of the kubeconfig (default: the current one)")
	flags.StringVar(&f.namespace, "namespace", "", "`NAMESPACE` of the Job (default: the context's)")
}

func (f *clusterFlags) open() (*kube.Client, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	raw := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
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

func newBatchSubmitCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		engine   engineFlags
		cluster  clusterFlags
		cfg      batch.Config
		handIn   handInFlags
		spec     jobs.JobSpec
		shards   int
		memory   string
		cpu      string
		ttl      time.Duration
		egress   []string
		detach   bool
	)
	cmd := &cobra.Command{
		Use:   "submit LAB SUBMISSIONS --out URL --image IMAGE",
		Short: "Grade a class on a Kubernetes cluster, as an Indexed Job",
		Long: `Grade a class on a Kubernetes cluster. SUBMISSIONS is the URL of a place in object storage (s3://, gs://, azblob://), or of
a directory on a volume that the pods have too (file://, with --volume-claim); so is --out, where the workers keep what
they have graded. The names there are the students' IDs.

The submissions are split into shards, and each is an index of one Job. A worker that dies loses seconds of work; its
successor goes on. The workers have no access to the cluster, and their NetworkPolicy lets them reach DNS and the storage
only. This command follows the Job; Ctrl-C leaves it running. The same command again goes on with what is missing.
Then "labctl batch collect" writes the same files as a run on one machine.

Exit code: 0 all shards are done, 2 wrong use or a lab in error, 3 shards have failed, or the cluster or storage does not
do what it should, 130 interrupted (the Job runs on).`,
		Example: `  labctl batch submit networkpolicy 's3://class/week-3?region=eu-central-1' --out 's3://class/graded?region=eu-central-1' \
    --image registry.example.org/labctl:0.1.0 --secret storage --parallelism 8
  labctl batch submit networkpolicy file:///data/week-3 --out file:///data/graded --volume-claim class --image labctl:0.1.0`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if spec.Destination == "" {
				return errors.New("--out is missing: name the URL that the results go to")
			}
			if !storage.IsURL(args[1]) || !storage.IsURL(spec.Destination) {
				return errors.New("submissions and --out have to be URLs that the pods can reach: s3://, gs://, azblob://, or file:// on a volume (--volume-claim)")
			}
			var err error
			if spec.Memory, err = resource.ParseQuantity(memory); err != nil {
				return fmt.Errorf("--memory %s: %w", memory, err)
			}
			if spec.CPU, err = resource.ParseQuantity(cpu); err != nil {
				return fmt.Errorf("--cpu %s: %w", cpu, err)
			}
			if err := checkGrading(&cfg); err != nil {
				return err
			}
			spec.TTL = int32(ttl / time.Second)
			lab, err := loadGrading(&cfg, &labFlags, &engine, args[0])
			if err != nil {
				return err
			}
			if err := handIn.apply(lab, &cfg); err != nil {
				return err
			}
			cfg.Tool = toolVersion()
			client, namespace, err := cluster.open()
			if err != nil {
				return err
			}
			spec.Namespace = namespace
			source := args[1]
			found, release, err := findSubmissions(ctx, batch.Search{From: batch.Plain}, &cfg, []string{source})
			if err != nil {
				return err
			}
			defer release()
			warnAbout(app.log(), found)
			to, err := storage.Open(ctx, spec.Destination)
			if err != nil {
				return err
			}
			defer to.Close()
			opts, err := labFlags.options()
			if err != nil {
				return err
			}
			semantics, err := engine.config()
			if err != nil {
				return err
			}
			run, resumed, err := jobs.Submit(ctx, to, jobs.Submission{
				Config: cfg, Options: opts, Semantics: semantics.Semantics, Source: source, Entries: found.Entries, Shards: shards,
			})
			if err != nil {
				return storageError(err)
			}
			spec.Run = run
			if spec.Name == "" {
				spec.Name = jobName(lab.Name, run.ID)
			}
			if err := spec.Check(); err != nil {
				return err
			}
			for _, text := range egress {
				e, err := jobs.ParseEgress(text)
				if err != nil {
					return err
				}
				spec.Egress = append(spec.Egress, e)
			}
			if len(egress) == 0 {
				if spec.Egress, err = jobs.EgressTo(ctx, client.Typed, namespace, source, spec.Destination); err != nil {
					return err
				}
			}
			fmt.Fprintf(app.err, "run %s: %s in %s, in %s\n", run.ID, count(run.Plan.Total(), "submission"), count(len(run.Plan.Shards), "shard"), to.Name())
			if resumed {
				p, err := run.Progress(ctx)
				if err != nil {
					return storageError(err)
				}
				fmt.Fprintf(app.err, "it was submitted before: %d are graded already\n", p.Done)
			}
			if _, err := spec.Start(ctx, client.Typed); err != nil {
				return clusterError(ctx, err)
			}
			fmt.Fprintf(app.err, "Job %s/%s\n", namespace, spec.Name)
			f := follower{app: app, client: client, namespace: namespace, name: spec.Name, run: run, args: cluster, destination: spec.Destination}
			if detach {
				f.howToGoOn()
				return nil
			}
			return f.follow(ctx)
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	f := cmd.Flags()
	cluster.register(f)
	f.StringVar(&spec.Destination, "out", "", "`URL` that the results go to")
	f.StringVar(&spec.Image, "image", "", "`IMAGE` of the workers, with the same labctl")
	f.IntVar(&spec.Parallelism, "parallelism", 4, "how many shards to grade at the same time")
	f.IntVar(&shards, "shards", 0, fmt.Sprintf("how many shards to split the submissions into (default: one for every %d)", jobs.MaxShard))
	f.StringVar(&spec.Name, "name", "", "`NAME` of the Job (default: the lab's and the run's)")
	f.IntVar(&spec.Retries, "retries", 6, "how often a shard is tried again whose worker failed")
	f.StringVar(&memory, "memory", "1Gi", "memory of a worker")
	f.StringVar(&cpu, "cpu", "1", "processors of a worker")
	f.StringVar(&spec.Queue, "queue", "", "`NAME` of the Kueue queue that says when the Job begins")
	f.StringVar(&spec.Secret, "secret", "", "`NAME` of the Secret with the storage's credentials: environment variables, and files in "+jobs.SecretPath)
	f.StringVar(&spec.VolumeClaim, "volume-claim", "", "`NAME` of the PersistentVolumeClaim that file:// URLs are on")
	f.StringVar(&spec.VolumePath, "volume-path", "/data", "where the volume is mounted, here and in the pods")
	f.StringSliceVar(&egress, "egress", nil, "what the workers may reach instead of the storage's endpoint, as `ADDRESS/BITS:PORT`; may be given more than once")
	f.DurationVar(&ttl, "ttl", 24*time.Hour, "how long the Job is kept when it has ended; results stay in --out")
	f.BoolVar(&detach, "detach", false, "do not wait for the Job")
	handIn.register(f)
	registerGrading(cmd, &cfg)
	return cmd
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

// clusterError makes an infrastructure error of what the cluster would not do.
func clusterError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return infraError{err}
}

// follower shows how far a Job is.
type follower struct {
	app         *app
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
			fmt.Fprintln(f.app.err, "The Job runs on.")
			f.howToGoOn()
			return ctx.Err()
		}
		if err != nil {
			f.clear()
			return infraError{err}
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
		f.first, f.since = p, f.app.now()
	}
	if !over && state.Active > 0 && (state.Ready < state.Active || state.FailedShards != "") {
		reasons, err := jobs.Trouble(ctx, f.client.Typed, f.namespace, f.name)
		if err == nil {
			f.complain(reasons)
		}
	}
	line := fmt.Sprintf("%d of %d graded", p.Done, p.Total)
	line += pace(p.Done-f.first.Done, p.Total-p.Done, f.app.now().Sub(f.since))
	line += fmt.Sprintf(" · shards: %d working, %d of %d done", state.Ready, state.Succeeded, len(f.run.Plan.Shards))
	if state.FailedShards != "" {
		line += ", failed: " + state.FailedShards
	}
	if state.Suspended {
		line += " · the Job is suspended"
	}
	if p.Errors > 0 {
		line += " · " + count(p.Errors, "error")
	}
	if f.app.terminal.is && !over {
		fmt.Fprintf(f.app.err, "\r\x1b[K%s", line)
		f.drawn = true
		return nil
	}
	f.clear()
	fmt.Fprintln(f.app.err, line)
	return nil
}

func (f *follower) complain(reasons []string) {
	for _, r := range reasons {
		if !f.said[r] {
			f.said[r] = true
			f.clear()
			fmt.Fprintln(f.app.err, r)
		}
	}
}

func (f *follower) clear() {
	if f.drawn {
		fmt.Fprint(f.app.err, "\r\x1b[K")
		f.drawn = false
	}
}

// result says what came of a Job that has ended.
func (f *follower) result(ctx context.Context) error {
	state := f.now()
	if !state.Failed {
		fmt.Fprintf(f.app.out, "All shards are done. Write the results with:\n  labctl batch collect --from '%s' --run %s --out DIR\n", f.destination, f.run.ID)
		return nil
	}
	if reasons, err := jobs.Trouble(ctx, f.client.Typed, f.namespace, f.name); err == nil {
		f.complain(reasons)
	}
	what := "the Job has failed: " + state.Reason
	if state.FailedShards != "" {
		what = "these shards have failed: " + state.FailedShards
	}
	return infraError{fmt.Errorf("%s; when the reason is mended, the same command goes on with what is missing", what)}
}

func (f *follower) howToGoOn() {
	at := f.name
	for _, flag := range [][2]string{{"kubeconfig", f.args.kubeconfig}, {"context", f.args.context}, {"namespace", f.namespace}} {
		if flag[1] != "" {
			at += " --" + flag[0] + " " + flag[1]
		}
	}
	fmt.Fprintf(f.app.err, "  labctl batch status %s --watch\n  labctl batch cancel %s\n  labctl batch collect --from '%s' --run %s --out DIR\n", at, at, f.destination, f.run.ID)
}

func newBatchStatusCommand(app *app) *cobra.Command {
	var (
		cluster clusterFlags
		output  outputFlag
		watch   bool
	)
	cmd := &cobra.Command{
		Use:   "status JOB",
		Short: "Say how far a Job of \"batch submit\" is",
		Example: `  labctl batch status labctl-networkpolicy-3f2a9c01b7de
  labctl batch status labctl-networkpolicy-3f2a9c01b7de --watch`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			client, namespace, err := cluster.open()
			if err != nil {
				return err
			}
			job, id, destination, err := jobs.FindJob(ctx, client.Typed, namespace, args[0])
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
			f := follower{app: app, client: client, namespace: namespace, name: args[0], run: run, args: cluster, destination: destination, state: jobs.StateOf(job), said: map[string]bool{}}
			if watch {
				return f.follow(ctx)
			}
			if output.json() {
				p, err := run.Progress(ctx)
				if err != nil {
					return storageError(err)
				}
				s := f.state
				return app.writeJSON(jobStatus{1, args[0], namespace, id, destination, s.Active, s.Succeeded, s.FailedShards, s.Suspended, s.Ended, s.Failed, s.Reason, p})
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
	output.register(cmd)
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

func newBatchCancelCommand(app *app) *cobra.Command {
	var cluster clusterFlags
	cmd := &cobra.Command{
		Use:     "cancel JOB",
		Short:   "Delete a Job of \"batch submit\"; what it has graded stays",
		Example: `  labctl batch cancel labctl-networkpolicy-3f2a9c01b7de`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, namespace, err := cluster.open()
			if err != nil {
				return err
			}
			if err := jobs.Cancel(cmd.Context(), client.Typed, namespace, args[0]); err != nil {
				return clusterError(cmd.Context(), err)
			}
			fmt.Fprintf(app.out, "The Job %s/%s is deleted. What it has graded is kept: the same \"batch submit\" goes on with the rest.\n", namespace, args[0])
			return nil
		},
	}
	cluster.register(cmd.Flags())
	return cmd
}

func newBatchCollectCommand(app *app) *cobra.Command {
	var (
		output  outputFlag
		from    string
		id      string
		formats []string
		cfg     batch.Config
		partial bool
	)
	cmd := &cobra.Command{
		Use:   "collect --from URL --out DIR",
		Short: "Write the results of a Job, as a run on one machine does",
		Long: `Write the results of a Job. The files are the same, byte for byte, as those of "labctl batch" on one machine with the same
submissions and options. If results are missing, the shards are named, nothing is written, and the exit code is 3;
with --partial they are errors among the results, which is never 0 points.`,
		Example: `  labctl batch collect --from 's3://class/graded?region=eu-central-1' --out graded/
  labctl batch collect --from file:///data/graded --out graded/ --format canvas-csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if from == "" || cfg.Out == "" {
				return errors.New("--from and --out are needed: the URL that was submitted to, and the directory for the results")
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
			planned, err := run.Load(ctx, toolVersion())
			if err != nil {
				return storageError(err)
			}
			list, err := findFormats(formats, planned.NoReports)
			if err != nil {
				return err
			}
			planned.Out, planned.Formats, planned.Assignment, planned.Similarity, planned.Log = cfg.Out, list, cfg.Assignment, cfg.Similarity, app.log()
			view := batchView{app: app, start: app.now(), what: "segments read"}
			planned.Report = view.report
			sum, err := run.Collect(ctx, planned, partial, func(done, total int) {
				view.report(batch.Progress{Done: done, Total: total})
			})
			view.end()
			var gap *jobs.Incomplete
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, &gap):
				return infraError{fmt.Errorf("%w\nNothing was written. The same \"labctl batch submit\" grades what is missing; --partial writes what there is", err)}
			case err != nil:
				return infraError{err}
			}
			return app.showSummary(sum, output.json(), false, cfg.Out)
		},
	}
	output.register(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`URL` that the results are at")
	f.StringVar(&id, "run", "", "the `RUN`, as \"batch submit\" names it (default: the one that was submitted last)")
	f.StringVar(&cfg.Out, "out", "", "`DIR`ectory for the results")
	f.BoolVar(&partial, "partial", false, "write what there is: results that are missing are errors")
	registerFormats(cmd, &formats, &cfg)
	return cmd
}

func newBatchWorkCommand(app *app) *cobra.Command {
	var run string
	index := -1
	cmd := &cobra.Command{
		Use:    "work URL --run RUN",
		Short:  "Grade one shard of a run: what the pods of a Job do",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if index < 0 {
				text := os.Getenv("JOB_COMPLETION_INDEX")
				var err error
				if index, err = strconv.Atoi(text); err != nil {
					return fmt.Errorf("JOB_COMPLETION_INDEX is %q: a worker is started by an Indexed Job, or with --shard", text)
				}
			}
			to, err := storage.Open(ctx, args[0])
			if err != nil {
				return err
			}
			defer to.Close()
			r, err := jobs.Find(ctx, to, run)
			if err != nil {
				return workError(ctx, err)
			}
			view := batchView{app: app, start: app.now()}
			err = jobs.Worker{Run: r, Shard: index, Tool: toolVersion(), Report: keepingMemory(view.report), Log: app.log()}.Work(ctx)
			view.end()
			return workError(ctx, err)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "the `RUN`")
	cmd.Flags().IntVar(&index, "shard", -1, "the number of the shard (default: $JOB_COMPLETION_INDEX)")
	return cmd
}

// workError decides whether a worker is worth another try: a Job does not try again what ends with the code of wrong use.
func workError(ctx context.Context, err error) error {
	var failed *storage.Error
	var disk *os.PathError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Canceled
	case storage.IsPermanent(err):
		return err
	case errors.As(err, &failed), errors.As(err, &disk):
		return infraError{err}
	}
	return err
}
