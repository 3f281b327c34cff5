package main

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
	"github.com/labctl/labctl/grade"
)

// probeOptions are what `labctl probe` is told.
type probeOptions struct {
	engine       engineFlags
	output       outputFlag
	manifests    []string
	policies     []string
	probes       string
	explain      bool
	clusterName  string
	hostFirewall bool
}

func newProbeCommand(app *app) *cobra.Command {
	var o probeOptions
	cmd := &cobra.Command{
		Use:   "probe --offline --manifests FILE|DIR... [--policies FILE|DIR...] --probes FILE",
		Short: "Judge connections under any manifests, without a lab",
		Long: `Judge connections under any manifests, without a lab.

The manifests describe the cluster: pods or the workloads that make them, namespaces, services, nodes. The
policies are put in force, and each connection of the probes file gets its verdict, in the file's order,
with the rule and the file and line that decided each side. docs/probe.md describes both formats.

--manifests and --policies take files and directories: several after one flag, separated by commas or by
spaces, or the flag given several times. "-" is standard input.`,
		Example: `  labctl probe --offline --manifests cluster/ --policies policies/ --probes probes.json -o json
  labctl probe --offline --manifests pods.yaml services.yaml --policies a.yaml,b.yaml --probes - < probes.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.engine.chosen() != engineOffline {
				return errors.New("labctl probe works offline only: add --offline")
			}
			return app.probe(cmd.Context(), &o)
		},
	}
	o.engine.register(cmd)
	o.output.register(cmd)
	cmd.Flags().StringArrayVar(&o.manifests, "manifests", nil, "`FILE|DIR`... that describe the cluster")
	cmd.Flags().StringArrayVar(&o.policies, "policies", nil, "`FILE|DIR`... with the policies in force")
	cmd.Flags().StringVar(&o.probes, "probes", "", "JSON `FILE` with the connections to judge")
	cmd.Flags().BoolVar(&o.explain, "explain", false, "say of each connection that is denied which rules nearly allowed it")
	cmd.Flags().StringVar(&o.clusterName, "cluster-name", policy.DefaultClusterName, "`NAME` of the cluster in Cilium's configuration")
	cmd.Flags().BoolVar(&o.hostFirewall, "host-firewall", false, "Cilium's host firewall is on: policies with a nodeSelector count")
	for _, name := range []string{"manifests", "probes"} {
		// The only error is a flag that does not exist.
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// probe reads, checks and judges. Nothing is printed before it is known that everything can be judged.
func (a *app) probe(ctx context.Context, o *probeOptions) error {
	in := probeInput{stdin: a.in}
	cfg := policy.Config{Semantics: policy.Semantics(o.engine.semantics), ClusterName: o.clusterName, HostFirewall: o.hostFirewall}
	if cfg.Semantics != policy.Cilium && cfg.Semantics != policy.Kubernetes {
		return fmt.Errorf("--semantics %s: want cilium or kubernetes", o.engine.semantics)
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
	judge := eng.Judge
	if o.explain {
		judge = eng.Explain
	}
	if err := checkProbes(ctx, file.Probes, eng); err != nil {
		return err
	}
	w := bufio.NewWriterSize(a.out, 1<<16)
	if o.output.json() {
		err = writeProbeJSON(ctx, w, file.Probes, judge)
	} else {
		err = writeProbeText(w, file.Probes, judge)
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
		return nil, refusedPolicies{&grade.Refused{Problems: refused}}
	}
	cluster, problems := policy.NewCluster(state, cfg)
	if len(problems) > 0 {
		return nil, problems
	}
	return policy.New(cluster, policies, dns), nil
}

// refusedPolicies ends the process as a refused submission does, in words that fit.
type refusedPolicies struct{ *grade.Refused }

func (r refusedPolicies) Error() string {
	return "the policies are refused, nothing was judged:\n" + r.Problems.Error()
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
		if _, err := eng.Judge(p); err != nil {
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

// writeProbeJSON writes one result a line. Several batches are judged at a time and written in order.
func writeProbeJSON(ctx context.Context, w io.Writer, probes []policy.Probe, judge func(policy.Probe) (policy.Result, error)) error {
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
	end := "\n]}\n"
	if first {
		end = "]}\n"
	}
	_, err := io.WriteString(w, end)
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
