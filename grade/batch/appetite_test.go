package batch_test

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/gradetest"
)

// What one submission within the limits takes is bounded, whatever it is made of: the worst that we know of stay far below
// what takes a process down. Not parallel: it measures the whole process.
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
