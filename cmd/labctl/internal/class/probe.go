package class

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/engine"
)

// probeOptions are what `labctl probe` is told.
type probeOptions struct {
	engine       cli.EngineFlags
	output       cli.OutputFlag
	manifests    []string
	policies     []string
	probes       string
	explain      bool
	clusterName  string
	hostFirewall bool
}

func NewProbeCommand(app *cli.App) *cobra.Command {
	var (
		o     probeOptions
		paths pathLists
	)
	cmd := &cobra.Command{
		Use:   "probe --manifests FILE|DIR... [--policies FILE|DIR...] --probes FILE",
		Short: "Compute which connections any manifests allow, without a lab",
		Long: `Compute which connections any manifests allow, without a lab and without a cluster.

The manifests describe the cluster: pods or the workloads that create them, namespaces, services, nodes. labctl
prints a verdict for each connection in the probes file, in the file's order, with the rule, file and line that
decided each side. docs/probe.md describes the formats.

--manifests and --policies take files and directories, separated by spaces or commas, and are repeatable. "-" is
standard input.`,
		Example: `  labctl probe --manifests cluster/ --policies policies/ --probes probes.json -o json
  labctl probe --manifests pods.yaml services.yaml --policies a.yaml,b.yaml --probes - < probes.json`,
		Args: cobra.ArbitraryArgs, // further paths of the list before them
		RunE: func(cmd *cobra.Command, args []string) error {
			if e := o.engine.Engine; e != "" && e != cli.EngineOffline {
				return fmt.Errorf("--engine %s: labctl probe works offline only; leave the flag out", e)
			}
			if err := paths.finish(args); err != nil {
				return err
			}
			for _, name := range []string{"manifests", "probes"} {
				if !cmd.Flags().Changed(name) {
					return fmt.Errorf("%s needs --%s\nSee %q", cmd.CommandPath(), name, cmd.CommandPath()+" --help")
				}
			}
			return runProbe(cmd.Context(), app, &o)
		},
	}
	o.engine.Register(cmd)
	for _, flag := range []string{"offline", "engine"} { // from when they were required
		_ = cmd.Flags().MarkHidden(flag)
	}
	o.output.Register(cmd)
	paths.flags = cmd.Flags()
	cmd.Flags().Var(paths.list(&o.manifests), "manifests", "`FILE|DIR`... with the manifests of the cluster")
	cmd.Flags().Var(paths.list(&o.policies), "policies", "`FILE|DIR`... with the policies")
	cmd.Flags().StringVar(&o.probes, "probes", "", "JSON `FILE` with the connections")
	cmd.Flags().BoolVar(&o.explain, "explain", false, "name the rules that nearly allowed each denied connection")
	cmd.Flags().StringVar(&o.clusterName, "cluster-name", policy.DefaultClusterName,
		"cluster `NAME` in Cilium's configuration")
	cmd.Flags().BoolVar(&o.hostFirewall, "host-firewall", false,
		"apply policies with a nodeSelector, as with Cilium's host firewall")
	return cmd
}

// runProbe reads, checks and judges. Nothing is printed before it is known that everything can be judged.
func runProbe(ctx context.Context, a *cli.App, o *probeOptions) error {
	in := probeInput{stdin: a.In}
	cfg := policy.Config{
		Semantics: policy.Semantics(o.engine.Semantics), ClusterName: o.clusterName, HostFirewall: o.hostFirewall,
	}
	if cfg.Semantics != policy.Cilium && cfg.Semantics != policy.Kubernetes {
		return fmt.Errorf("invalid --semantics %q: use cilium or kubernetes", o.engine.Semantics)
	}
	objects, err := in.objects(o.manifests, o.policies)
	if err != nil {
		return err
	}
	file, err := in.probes(o.probes)
	if err != nil {
		return err
	}
	cfg.IPv6 = usesIPv6(objects, file)
	eng, err := newProbeEngine(objects, cfg, file.DNS)
	if err != nil {
		return err
	}
	judge := eng.Evaluate
	if o.explain {
		judge = eng.Explain
	}
	if err := checkProbes(ctx, file.Probes, eng); err != nil {
		return err
	}
	warnings := append(eng.Warnings(), policy.UnmodelledWorkloads(objects)...)
	w := bufio.NewWriterSize(a.Out, 1<<16)
	if o.output.Json() {
		err = writeProbeJSON(ctx, w, file.Probes, judge, warnings)
	} else {
		err = writeProbeText(w, file.Probes, judge, warnings)
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// newProbeEngine builds the cluster and puts the policies in force. Policies that are refused, by the
// rules of the API server or because the engine does not model them, end in refusedPolicies.
func newProbeEngine(objects []*manifest.Object, cfg policy.Config, dns map[string][]string) (*policy.Engine, error) {
	var (
		state    []*manifest.Object
		policies []*policy.Policy
		refused  manifest.Problems
	)
	for _, o := range objects {
		if !policy.IsPolicy(o) {
			state = append(state, o)
			continue
		}
		p, problems := policy.Compile(o, cfg)
		refused = append(refused, problems...)
		policies = append(policies, p)
	}
	if len(refused) > 0 {
		return nil, refusedPolicies{&engine.Refused{Problems: refused}}
	}
	cluster, problems := policy.NewCluster(state, cfg)
	if len(problems) > 0 {
		return nil, problems
	}
	return policy.New(cluster, policies, dns), nil
}

// refusedPolicies ends the process as a refused submission does, in words that fit.
type refusedPolicies struct{ *engine.Refused }

func (r refusedPolicies) Error() string {
	return "the policies were rejected, and no connection was evaluated:\n" + r.Problems.Error()
}

func (r refusedPolicies) Unwrap() error { return r.Refused }

// checkProbes makes sure that every probe can be judged before any verdict is printed.
func checkProbes(ctx context.Context, probes []policy.Probe, eng *policy.Engine) error {
	const shown = 20
	var bad []string
	for i, p := range probes {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := eng.Evaluate(p); err != nil {
			bad = append(bad, fmt.Sprintf("probes[%d]: %v", i, err))
		}
	}
	if len(bad) > shown {
		bad = append(bad[:shown], fmt.Sprintf("… and %d more", len(bad)-shown))
	}
	if len(bad) > 0 {
		return errors.New("the probes cannot be judged:\n" + strings.Join(bad, "\n"))
	}
	return nil
}

// writeProbeJSON writes one result a line, and the warnings. Several batches are judged at a time and written in
// order.
func writeProbeJSON(ctx context.Context, w io.Writer, probes []policy.Probe,
	judge func(policy.Probe) (policy.Result, error), warnings []policy.Warning) error {
	if _, err := io.WriteString(w, "{\"format_version\": 1, \"results\": ["); err != nil {
		return err
	}
	const batch = 512
	first := true
	buffers := make([]bytes.Buffer, runtime.GOMAXPROCS(0))
	for round := range slices.Chunk(probes, batch*len(buffers)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var group errgroup.Group
		used := 0
		for part := range slices.Chunk(round, batch) {
			buf := &buffers[used]
			used++
			buf.Reset()
			group.Go(func() error { return encodeResults(buf, part, judge) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i := range used {
			data := buffers[i].Bytes()
			if first {
				data, first = data[1:], false // the comma
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
	}
	end := "\n]"
	if first {
		end = "]"
	}
	if _, err := io.WriteString(w, end+`, "warnings": `); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(warnings); err != nil {
		return err
	}
	_, err := io.WriteString(w, "}\n")
	return err
}

// encodeResults appends ",\n" and the result for each probe.
func encodeResults(buf *bytes.Buffer, probes []policy.Probe, judge func(policy.Probe) (policy.Result, error)) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	for _, p := range probes {
		r, err := judge(p)
		if err != nil {
			return err
		}
		buf.WriteString(",\n")
		if err := enc.Encode(&r); err != nil {
			return err
		}
		buf.Truncate(buf.Len() - 1) // the encoder's line feed
	}
	return nil
}
