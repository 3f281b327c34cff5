package batch_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/grade/offline"
)

// What one submission within the limits takes is bounded, whatever it is made of: the worst that we know of
// stay far below what takes a process down. Not parallel: it measures the whole process.
func TestAppetite(t *testing.T) {
	const most = 400 << 20 // some 160 MiB live, and as much that is not collected yet
	head := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelector: {}, "
	for name, text := range map[string]string{
		"as many values as fit into a file": head + "x: [" + strings.Repeat("a,", 500_000) + "]}\n",
		"as many values as may be":          head + "ingress: [{ports: [" + strings.Repeat("{port: 1},", 8_000) + "]}]}\n",
		"as many objects":                   strings.Repeat("---\n"+denyAll, 2000),
		"one long word":                     head + "x: " + strings.Repeat("a", 1_000_000) + "}\n",
		"aliases":                           "a: &a [" + strings.Repeat("x,", 300) + "]\nb: [" + strings.Repeat("*a,", 300) + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"ada.yaml", "bob.yaml"} { // at the same time, and not equal
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"# "+file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := gradetest.Config(t, gradetest.Tutorial)
			cfg.Workers = 1
			debug.FreeOSMemory()
			stop, peak := make(chan struct{}), make(chan uint64)
			go func() {
				sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
				var high uint64
				for {
					select {
					case <-stop:
						peak <- high
						return
					default:
						time.Sleep(time.Millisecond)
						metrics.Read(sample)
						high = max(high, sample[0].Value.Uint64())
					}
				}
			}()
			gradetest.Run(t, cfg, dir)
			close(stop)
			if high := <-peak; high > most {
				t.Errorf("the heap had %d MiB", high>>20)
			} else {
				t.Logf("the heap had %d MiB", high>>20)
			}
		})
	}
}

// What one submission costs is counted: whatever there is much of, it is graded or refused, within the work
// and the output that it may take. The shapes are those with which the search for the worst case begins.
func TestAppetiteOfShapes(t *testing.T) {
	t.Parallel()
	const mostWork = 1.5 * (offline.DefaultWork + mistake.DefaultWork) // a step more is noticed when it is made
	for labName, lab := range map[string]string{"tutorial": gradetest.Tutorial, "requests": "../gradetest/testdata/l7"} {
		opened := gradetest.Open(t, lab)
		var tasks []string
		for _, task := range opened.Tasks {
			tasks = append(tasks, task.Name)
		}
		for name, shape := range gradetest.Shapes() {
			if (shape.Kind > 0) != (labName == "requests") {
				continue
			}
			t.Run(labName+"/"+name, func(t *testing.T) {
				t.Parallel()
				class := t.TempDir()
				if err := shape.Write(filepath.Join(class, "ada"), tasks); err != nil {
					t.Fatal(err)
				}
				engine := &countingEngine{Engine: opened.Engine}
				cfg := batch.Config{Grader: opened.Grader, Engine: engine, Out: filepath.Join(t.TempDir(), "out"), Tool: "test", Workers: 1}
				gradetest.Run(t, cfg, class)
				status, output, work := statusIn(t, cfg.Out), outputIn(t, cfg.Out), engine.used()
				t.Logf("%s: %d steps, %d KB", status, work, output>>10)
				if status == string(grade.Errored) || float64(work) > mostWork || output > mostOutput {
					t.Errorf("%s, %d steps and %d KB of output", status, work, output>>10)
				}
			})
		}
	}
}

// countingEngine remembers the budgets of all that it is asked.
type countingEngine struct {
	*offline.Engine
	mu      sync.Mutex
	budgets map[*policy.Budget]bool
}

func (e *countingEngine) add(b *policy.Budget) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.budgets == nil {
		e.budgets = map[*policy.Budget]bool{}
	}
	e.budgets[b] = true
}

func (e *countingEngine) used() (steps int64) {
	for b := range e.budgets {
		steps += b.Used()
	}
	return steps
}

func (e *countingEngine) At(_ context.Context, state *engine.State) (engine.Prober, error) {
	p, err := e.Prober(state)
	if err != nil {
		return nil, err
	}
	e.add(p.Budget())
	return &countingProber{p, e}, nil
}

type countingProber struct {
	*offline.Prober
	of *countingEngine
}

func (p *countingProber) Changed(b *policy.Budget, c engine.Change) (engine.Prober, error) {
	p.of.add(b)
	return p.Prober.Changed(b, c)
}
