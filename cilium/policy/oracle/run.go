package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// reply is a case with labctl's answer.
type reply struct {
	index int
	c     *Case
	got   *report
	err   error
}

// run returns how many cases differ.
func run(ctx context.Context, o options) (int, error) {
	if _, err := os.Stat(o.binary); err != nil {
		return 0, fmt.Errorf("%w (build it with `make build`, or name it with -labctl)", err)
	}
	dir, err := os.MkdirTemp("", "oracle-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &test{options: o, labctl: labctl{o.binary}, dir: dir, coverage: newCoverage()}
	start := time.Now()
	differ := 0
	for a := range t.answers(ctx) {
		if a.err != nil {
			return differ, fmt.Errorf("case %016x: %w", a.c.Seed, a.err)
		}
		d, err := t.judge(a)
		if err != nil {
			return differ, fmt.Errorf("case %016x: %w", a.c.Seed, err)
		}
		if len(d) > 0 {
			differ++
			if err := t.show(ctx, a, d); err != nil {
				return differ, err
			}
			if o.stop > 0 && differ >= o.stop {
				break
			}
		}
		if n := a.index + 1; n%100 == 0 {
			fmt.Printf("%d cases, %d probes, %d cases differ (%s)\n",
				n, t.coverage.probes, differ, time.Since(start).Round(time.Second))
		}
	}
	if err := ctx.Err(); err != nil {
		return differ, err
	}
	t.coverage.write(os.Stdout)
	fmt.Printf("%d of %d cases differ\n", differ, t.coverage.cases)
	return differ, nil
}

type test struct {
	options
	labctl   labctl
	dir      string
	coverage *coverage
}

// seeds are the cases to draw.
func (t *test) seeds() ([]uint64, error) {
	if t.only != "" {
		seed, err := strconv.ParseUint(strings.TrimPrefix(t.only, "0x"), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("-case %s: %w", t.only, err)
		}
		return []uint64{seed}, nil
	}
	out := make([]uint64, t.cases)
	for i := range out {
		out[i] = caseSeed(t.seed, i)
	}
	return out, nil
}

// answers has labctl answer the cases, several processes at a time, and yields them in order.
func (t *test) answers(ctx context.Context) <-chan reply {
	out := make(chan reply)
	go func() {
		defer close(out)
		send := func(a reply) bool {
			select {
			case out <- a:
				return true
			case <-ctx.Done():
				return false
			}
		}
		if t.replay != "" {
			c, err := ReadCase(t.replay)
			if err != nil {
				send(reply{c: &Case{}, err: err})
				return
			}
			got, err := t.ask(ctx, c, "replay")
			send(reply{c: c, got: got, err: err})
			return
		}
		seeds, err := t.seeds()
		if err != nil {
			send(reply{c: &Case{}, err: err})
			return
		}
		// A slot for each process; the answers keep the order of the seeds.
		pending := make(chan chan reply, max(1, t.workers))
		var wg sync.WaitGroup
		defer wg.Wait()
		go func() {
			defer close(pending)
			slots := make(chan struct{}, max(1, t.workers))
			for i, seed := range seeds {
				result := make(chan reply, 1)
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				wg.Go(func() {
					defer func() { <-slots }()
					c := Generate(seed, t.probes)
					got, err := t.ask(ctx, c, strconv.Itoa(i))
					result <- reply{index: i, c: c, got: got, err: err}
				})
				select {
				case pending <- result:
				case <-ctx.Done():
					return
				}
			}
		}()
		for result := range pending {
			select {
			case a := <-result:
				if !send(a) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// ask has labctl answer one case.
func (t *test) ask(ctx context.Context, c *Case, name string) (*report, error) {
	dir := filepath.Join(t.dir, name)
	defer os.RemoveAll(dir)
	if err := c.Write(dir); err != nil {
		return nil, err
	}
	return t.labctl.probe(ctx, dir, len(c.Probes.Probes))
}

// judge compares a case and counts it.
func (t *test) judge(a reply) ([]difference, error) {
	t.coverage.cases++
	return differences(a.c, a.got, t.coverage)
}

// differences compares labctl's answer with Cilium's. cov may be nil.
func differences(c *Case, got *report, cov *coverage) (out []difference, err error) {
	defer func() {
		// Cilium's code takes the API server's validation for granted; a case that shrinking broke can panic it.
		if r := recover(); r != nil {
			err = fmt.Errorf("Cilium panics: %v", r)
		}
	}()
	f, err := newFull(c)
	switch refused := errors.Is(err, errRefused); {
	case err != nil && !errors.Is(err, errRefused):
		return nil, err
	case refused && got.refused:
		if cov != nil {
			cov.refused++
			cov.features["refused: "+reason(c)]++
		}
		return nil, nil
	case refused:
		return []difference{{cilium: fmt.Sprint(err), labctl: "takes the policies"}}, nil
	case got.refused && strings.Contains(got.text, "not modelled"):
		if cov != nil {
			cov.unmodelled++
		}
		return nil, nil
	case got.refused:
		return []difference{{cilium: "takes the policies", labctl: "refuses: " + got.text}}, nil
	}
	for i := range c.Probes.Probes {
		p := &c.Probes.Probes[i]
		want, err := f.Judge(p)
		if err != nil {
			return nil, err
		}
		if cov != nil {
			cov.count(p, want)
		}
		if d := compare(p, want, got.results[i]); d != nil {
			out = append(out, *d)
		}
	}
	return out, nil
}

// reason is what the generator did to the policy, for the table of features.
func reason(c *Case) string {
	if strings.Contains(c.Invalid, "spec") { // vandalise says which place of the spec it changed
		return "a place changed at random"
	}
	return c.Invalid
}

// show prints a difference and writes the case, small, to the folder for such cases.
func (t *test) show(ctx context.Context, a reply, diffs []difference) error {
	fmt.Printf("\ncase %016x, number %d: %d differences\n", a.c.Seed, a.index+1, len(diffs))
	if t.verbose {
		for _, d := range diffs {
			fmt.Println(d)
		}
	}
	small := a.c.clone()
	if diffs[0].probe != nil {
		small.Probes.Probes = []Probe{*diffs[0].probe}
	}
	last := diffs[0]
	if t.whole {
		fmt.Println(last)
		return a.c.Write(filepath.Join(t.keep, caseName(a.c.Seed)))
	}
	small = shrink(small, 600, func(c *Case) bool {
		got, err := t.ask(ctx, c, "shrink")
		if err != nil {
			return false
		}
		d, err := differences(c, got, nil)
		if err != nil || len(d) == 0 || !d[0].like(diffs[0]) {
			return false
		}
		last = d[0]
		return true
	})
	dir := filepath.Join(t.keep, caseName(a.c.Seed))
	if err := a.c.Write(dir); err != nil {
		return err
	}
	if err := small.Write(filepath.Join(dir, "small")); err != nil {
		return err
	}
	cluster := slices.DeleteFunc(slices.Clone(small.Cluster), isDNS) // it is always the same
	for _, objects := range [][]object{cluster, small.Policies} {
		text, err := documents(objects)
		if err != nil {
			return err
		}
		fmt.Printf("---\n%s", text)
	}
	if len(small.Probes.DNS) > 0 {
		fmt.Printf("# dns %v\n", small.Probes.DNS)
	}
	fmt.Printf("%s\nthe case is in %s; run it again with -case %016x, the small one with -replay %s\n\n",
		last, dir, a.c.Seed, filepath.Join(dir, "small"))
	return nil
}
