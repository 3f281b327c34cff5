// Oracle compares labctl's offline engine with Cilium's full policy engine.
//
// It draws clusters, policies and connections at random, has Cilium's own engine (package policy: the
// repository, the distilled map state, the DNS proxy's rules and what Envoy is told) say what happens to
// each connection, and has `labctl probe` say the same. Every difference is a bug in one of the two
// programs: the case is written to a folder and made small.
//
// It is a program of its own, in a module of its own, because package policy needs another version of
// Kubernetes' libraries than labctl: the two share nothing but the contract of `labctl probe`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

type options struct {
	cases, probes, workers, stop int
	seed                         uint64
	only, replay, keep, binary   string
	verbose, whole               bool
}

func main() {
	var o options
	flag.IntVar(&o.cases, "n", 300, "how many `cases` to draw")
	flag.IntVar(&o.probes, "probes", 250, "connections to judge in each `case`")
	flag.Uint64Var(&o.seed, "seed", 1, "`seed` of the run: the same seed draws the same cases")
	flag.StringVar(&o.only, "case", "",
		"run the one case of this `seed` again (16 hexadecimal digits, as a difference prints it)")
	flag.StringVar(&o.replay, "replay", "", "run the case in this `folder` instead of drawing any")
	flag.StringVar(&o.keep, "keep", filepath.Join(os.TempDir(), "labctl-oracle"), "`folder` for the cases that differ")
	flag.StringVar(&o.binary, "labctl", "../../../bin/labctl", "`path` of the labctl binary to test")
	flag.IntVar(&o.workers, "workers", 2, "labctl `processes` at a time")
	flag.IntVar(&o.stop, "stop", 1, "stop after this many `cases` that differ (0: never)")
	flag.BoolVar(&o.whole, "no-shrink", false, "do not look for a smaller case that differs")
	flag.BoolVar(&o.verbose, "v", false, "print every difference of a case, not only the smallest")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "oracle: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	differ, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	if differ > 0 {
		os.Exit(1)
	}
}
