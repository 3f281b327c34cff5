package batch_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

var (
	worst     = flag.Duration("worst", 0, "search so long for the submission that costs most, in each lab")
	worstSeed = flag.Uint64("worst-seed", 1, "where the search begins")
)

// What a submission within the default limits may cost, the start of the process included.
const (
	mostCPU    = 2 * time.Second
	mostMemory = 300 << 20
	mostOutput = 200 << 10
)

// TestWorstCase searches for the submission that costs most: it changes shapes that cost much, grades each in
// a process of its own, and goes on with what costs more. `make worst` runs it.
func TestWorstCase(t *testing.T) {
	if *worst == 0 {
		t.Skip("a search, for -worst")
	}
	for name, lab := range map[string]string{"tutorial": gradetest.Tutorial, "requests": "../gradetest/testdata/l7"} {
		t.Run(name, func(t *testing.T) {
			s := search{t: t, lab: lab, rand: rand.New(rand.NewPCG(*worstSeed, 0)), until: time.Now().Add(*worst)}
			for _, task := range gradetest.Open(t, lab).Tasks {
				s.tasks = append(s.tasks, task.Name)
			}
			s.run()
		})
	}
}

// cost is what grading a submission took.
type cost struct {
	shape  gradetest.Shape
	cpu    time.Duration
	memory int64 // bytes
	output int64 // bytes
	status string
}

// share is how much of what a submission may cost it takes, of the scarcest thing.
func (c *cost) share() float64 {
	return max(float64(c.cpu)/float64(mostCPU), float64(c.memory)/mostMemory, float64(c.output)/mostOutput)
}

func (c *cost) String() string {
	shape, _ := json.Marshal(c.shape) // of numbers
	return fmt.Sprintf("%.2f of the limit: %.2f CPU s, %d MB, %d KB of output, %s: %s", c.share(), c.cpu.Seconds(), c.memory>>20, c.output>>10, c.status, shape)
}

type search struct {
	t     *testing.T
	lab   string
	tasks []string
	rand  *rand.Rand
	until time.Time
	best  []*cost
}

// kept is how many shapes the search goes on with.
const kept = 8

func (s *search) run() {
	shapes := gradetest.Shapes()
	tried := 0
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		c := s.measure(shapes[name])
		s.t.Logf("%-15s %v", name, c)
		s.keep(c)
		tried++
	}
	for time.Now().Before(s.until) {
		s.keep(s.measure(s.best[s.rand.IntN(len(s.best))].shape.Mutate(s.rand)))
		tried++
	}
	s.t.Logf("%d submissions; the worst:", tried)
	for _, c := range s.best {
		s.t.Log(c)
		if c.share() > 1 {
			s.t.Error("that is too much")
		}
	}
}

func (s *search) keep(c *cost) {
	s.best = append(s.best, c)
	slices.SortStableFunc(s.best, func(a, b *cost) int {
		if a.share() > b.share() {
			return -1
		}
		return 1
	})
	s.best = s.best[:min(len(s.best), kept)]
}

// measure grades a submission of the shape in a process of its own.
func (s *search) measure(shape gradetest.Shape) *cost {
	dir := s.t.TempDir()
	defer os.RemoveAll(dir)
	class, out := filepath.Join(dir, "class"), filepath.Join(dir, "out")
	if err := shape.Write(filepath.Join(class, "ada"), s.tasks); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BATCH_TEST_CLASS="+class, "BATCH_TEST_OUT="+out, "BATCH_TEST_LAB="+s.lab, "GOGC=400")
	text, err := cmd.CombinedOutput()
	c := &cost{shape: shape, status: "broken"}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.cpu, c.memory = cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), usage.Maxrss<<10
	}
	if err != nil {
		s.t.Errorf("%v: %v: %s", c, err, text)
		return c
	}
	c.status, c.output = statusIn(s.t, out), outputIn(s.t, out)
	if c.status == string(grade.Errored) {
		s.t.Errorf("%v", c)
	}
	return c
}

// statusIn is the status of the one result in an output directory.
func statusIn(t *testing.T, out string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ Status string }
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// outputIn is how many bytes a run wrote about its one submission: all but the pages and the summary of the class.
func outputIn(t *testing.T, out string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(out, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || slices.Contains([]string{"index.html", "slowest.html", "summary.json"}, e.Name()) {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
