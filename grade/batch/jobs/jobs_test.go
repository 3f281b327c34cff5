package jobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/jobs"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/batch/storage/storagetest"
	"github.com/labctl/labctl/grade/gradetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain lets the test binary be the worker that is killed.
func TestMain(m *testing.M) {
	storagetest.SetCredentials()
	if url := os.Getenv("JOBS_TEST_DESTINATION"); url != "" {
		shard, err := strconv.Atoi(os.Getenv("JOBS_TEST_SHARD"))
		if err == nil {
			err = work(context.Background(), url, shard)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func work(ctx context.Context, url string, shard int) error {
	to, err := storage.Open(ctx, url)
	if err != nil {
		return err
	}
	defer to.Close()
	run, err := jobs.Find(ctx, to, "")
	if err != nil {
		return err
	}
	return jobs.Worker{Run: run, Shard: shard, Tool: "test", Every: 50 * time.Millisecond, Count: 3, Log: slog.New(slog.DiscardHandler)}.Work(ctx)
}

// config grades with a due date and what the lab says of lateness and attempts.
func config(t *testing.T) batch.Config {
	t.Helper()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Late, cfg.Attempts = cfg.Grader.Lab().Late, cfg.Grader.Lab().Attempts
	cfg.Due, cfg.Timeout = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC), time.Minute
	return cfg
}

// class writes n submissions with a list, which has one in seven again as a late attempt.
func class(t *testing.T, n int) string {
	t.Helper()
	dir := gradetest.Samples(t, n)
	list := "student_id,path,submitted_at\n"
	for i := range n {
		name := fmt.Sprintf("student-%04d", i)
		list += fmt.Sprintf("%s,%s,2026-11-20T17:%02d:00Z\n", name, name, i%60)
		if i%7 == 0 {
			list += fmt.Sprintf("%s,%s,2026-11-21T17:00:00Z\n", name, "student-0000")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "class.csv"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// place is where the submissions and results of a test are.
type place struct{ *storagetest.Server }

func newPlace(t *testing.T) place {
	t.Helper()
	return place{storagetest.Serve(t)}
}

// submission of the class that is uploaded.
func (p place) request(t *testing.T, shards int) jobs.Request {
	t.Helper()
	list := p.URL("in/class.csv")
	source, err := storage.OpenSource(t.Context(), list, batch.DefaultLimits(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	found, err := source.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return jobs.Request{Config: config(t), Semantics: policy.Cilium, Source: list, Entries: found.Entries, Shards: shards}
}

// submit uploads a class and submits it.
func (p place) submit(t *testing.T, dir string, shards int) *jobs.Run {
	t.Helper()
	if err := storagetest.Upload(t.Context(), p.Open(t, "in"), dir); err != nil {
		t.Fatal(err)
	}
	run, resumed, err := jobs.Submit(t.Context(), p.Open(t, "out"), p.request(t, shards))
	if err != nil || resumed {
		t.Fatal(err, resumed)
	}
	return run
}

// local grades a class on this machine.
func local(t *testing.T, dir string) map[string]string {
	t.Helper()
	cfg := config(t)
	gradetest.Run(t, cfg, filepath.Join(dir, "class.csv"))
	return gradetest.Files(t, cfg.Out)
}

func collect(t *testing.T, run *jobs.Run, partial bool) (map[string]string, error) {
	t.Helper()
	cfg, err := run.Load(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Out = filepath.Join(t.TempDir(), "collected")
	if _, err := run.Collect(t.Context(), cfg, partial, nil); err != nil {
		return nil, err
	}
	return gradetest.Files(t, cfg.Out), nil
}

// Workers that are killed at any moment lose nothing that matters: the others finish, and the results are
// those of one machine.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	const shards, kills = 3, 9
	dir := class(t, 60)
	want := local(t, dir)
	p := newPlace(t)
	run := p.submit(t, dir, shards)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	worker := func(shard int) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "JOBS_TEST_DESTINATION="+p.URL("out"), "JOBS_TEST_SHARD="+strconv.Itoa(shard))
		return cmd
	}
	random := rand.New(rand.NewPCG(3, 4))
	killed := 0
	for i := range kills {
		before, err := run.Progress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cmd := worker(i % shards)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Let it get somewhere, mostly: until it has written something or ended, and then some.
		wait := random.IntN(4) > 0
		for wait {
			now, err := run.Progress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wait = now.Segments == before.Segments && now.Shards[i%shards].Done < now.Shards[i%shards].Total
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		_ = cmd.Process.Kill() // it may have ended
		if cmd.Wait() != nil {
			killed++
		}
	}
	if killed < kills/3 {
		t.Errorf("only %d workers were killed in time: the test shows little", killed)
	}
	for shard := range shards {
		if out, err := worker(shard).CombinedOutput(); err != nil {
			t.Fatalf("shard %d: %v: %s", shard, err, out)
		}
	}
	got, err := collect(t, run, false)
	if err != nil {
		t.Fatal(err)
	}
	gradetest.Same(t, got, want)
}

// Submissions that every worker dies of, as those for which the kernel kills for memory, cost the others of
// their shard nothing, are errors in the end, and take two more workers than there are of them.
func TestWorkersDieOfSubmissions(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 24)
	list := "student_id,path\n"
	for i := range 24 {
		list += fmt.Sprintf("student-%04d,student-%04d\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "class.csv"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	want := local(t, dir)
	p := newPlace(t)
	run := p.submit(t, dir, 1)
	deadly := []string{"student-0003/", "student-0009/", "student-0017/", "student-0020/"}
	var victim atomic.Pointer[os.Process]
	p.Refuse(func(r *http.Request) int {
		if v := victim.Load(); v != nil && slices.ContainsFunc(deadly, func(d string) bool { return strings.Contains(r.URL.Path, d) }) {
			_ = v.Kill() // it may have ended
			return http.StatusInternalServerError
		}
		return 0
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	deaths := 0
	for ; ; deaths++ {
		// Two more than there are on a quiet machine. On a busy one a worker may be killed before it has written down
		// what it was doing, and dies of the same submission again.
		if deaths > 2*len(deadly)+2 {
			t.Fatalf("the shard is still not done after %d workers died", deaths)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "JOBS_TEST_DESTINATION="+p.URL("out"), "JOBS_TEST_SHARD=0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		victim.Store(cmd.Process)
		err := cmd.Wait()
		victim.Store(nil)
		if err == nil {
			break
		}
	}
	got, err := collect(t, run, false)
	if err != nil {
		t.Fatal(err)
	}
	if deaths < 3 {
		t.Errorf("workers died %d times: nothing was tried again", deaths)
	}
	wanted := slices.Collect(strings.Lines(want["results.jsonl"]))
	for i, line := range slices.Collect(strings.Lines(got["results.jsonl"])) {
		fatal := slices.ContainsFunc(deadly, func(d string) bool { return strings.Contains(line, `"id":"`+strings.TrimSuffix(d, "/")+`"`) })
		switch {
		case fatal && (!strings.Contains(line, `"status":"error"`) || !strings.Contains(line, " died while grading this submission alone")):
			t.Errorf("it has no error: %s", line)
		case !fatal && line != wanted[i]:
			t.Errorf("it has another result than on one machine:\n%s%s", line, wanted[i])
		}
	}
	t.Logf("workers died %d times", deaths)
}

// No result that has reached the destination is made again, also by two workers after each other.
func TestNothingIsGradedTwice(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	run := p.submit(t, class(t, 60), 1)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := jobs.Worker{Run: run, Tool: "test", Count: 2, Log: slog.New(slog.DiscardHandler), Report: func(p batch.Progress) {
			if p.Result != nil {
				if n++; n == 5 {
					cancel()
				}
			}
		}}.Work(ctx)
		if err == nil {
			t.Fatal("the worker was told to end, and has not said so")
		}
		cancel()
	}
	before, err := run.Progress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.Done < 10 || before.Done == before.Total {
		t.Fatalf("%d of %d are done after two workers with 5 or a few more each", before.Done, before.Total)
	}
	graded := 0
	w := jobs.Worker{Run: run, Tool: "test", Log: slog.New(slog.DiscardHandler), Report: func(p batch.Progress) {
		if p.Result != nil {
			graded++
		}
	}}
	if err := w.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if graded != before.Total-before.Done {
		t.Errorf("%d were graded, %d were missing", graded, before.Total-before.Done)
	}
	if err := w.Work(t.Context()); err != nil || graded != before.Total-before.Done {
		t.Errorf("a worker of a shard that is done has graded: %v", err)
	}
}

func TestGapsAreNamed(t *testing.T) {
	t.Parallel()
	dir := class(t, 24)
	p := newPlace(t)
	run := p.submit(t, dir, 4)
	for _, shard := range []int{0, 3} {
		if err := work(t.Context(), p.URL("out"), shard); err != nil {
			t.Fatal(err)
		}
	}
	// All in one segment, so that its beginning can be read when its end is gone.
	if err := (jobs.Worker{Run: run, Shard: 2, Tool: "test", Every: time.Hour, Log: slog.New(slog.DiscardHandler)}).Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := collect(t, run, false)
	var gap *jobs.Incomplete
	if !errors.As(err, &gap) || len(gap.Shards) != 1 || gap.Shards[0].Shard != 1 || gap.Missing != run.Plan.Shards[1] {
		t.Fatalf("shard 1 has not begun: %v", err)
	}
	got, err := collect(t, run, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(got["results.jsonl"], "its result is missing: shard 1"); n == 0 {
		t.Error("with partial no result is in error")
	}
	if err := work(t.Context(), p.URL("out"), 1); err != nil {
		t.Fatal(err)
	}

	// A segment that is damaged does not count, and its results are made again.
	out := p.Open(t, "out")
	var victim string
	for o, err := range out.List(t.Context(), "runs/"+run.ID+"/shards/000002/", true) {
		if err != nil {
			t.Fatal(err)
		}
		victim = o.Key
	}
	data, err := out.Read(t.Context(), victim, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name string
		data []byte
	}{
		{"a flipped bit", flip(data)}, {"empty", nil}, {"cut", data[:len(data)-7]},
	} {
		if err := out.Write(t.Context(), victim, damage.data); err != nil {
			t.Fatal(err)
		}
		_, err := collect(t, run, false)
		if !errors.As(err, &gap) || len(gap.Shards) != 1 || gap.Shards[0].Shard != 2 || len(gap.Shards[0].Damaged) != 1 {
			t.Errorf("%s: %v", damage.name, err)
		}
	}
	if err := work(t.Context(), p.URL("out"), 2); err != nil {
		t.Fatal(err)
	}
	got, err = collect(t, run, false)
	if err != nil {
		t.Fatal(err)
	}
	gradetest.Same(t, got, local(t, dir))
}

func flip(data []byte) []byte {
	data = append([]byte(nil), data...)
	data[len(data)/2] ^= 8
	return data
}

func TestSubmittedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	dir := class(t, 6)
	run := p.submit(t, dir, 2)
	again := func(change func(*jobs.Request)) (*jobs.Run, bool) {
		t.Helper()
		s := p.request(t, 2)
		change(&s)
		r, resumed, err := jobs.Submit(t.Context(), p.Open(t, "out"), s)
		if err != nil {
			t.Fatal(err)
		}
		return r, resumed
	}
	if r, resumed := again(func(*jobs.Request) {}); !resumed || r.ID != run.ID {
		t.Errorf("the same is another run, %s and not %s", r.ID, run.ID)
	}
	for name, change := range map[string]func(*jobs.Request){
		"an option":    func(s *jobs.Request) { s.Config.Options.AfterDue = true },
		"a due date":   func(s *jobs.Request) { s.Config.Due = s.Config.Due.Add(time.Hour) },
		"a submission": func(s *jobs.Request) { s.Entries = s.Entries[1:] },
		"the tool":     func(s *jobs.Request) { s.Config.Tool = "another" },
	} {
		if r, resumed := again(change); resumed || r.ID == run.ID {
			t.Errorf("%s is another, and the run is the same", name)
		}
	}
	// The last one was submitted by another version.
	to := p.Open(t, "out")
	r, err := jobs.Find(t.Context(), to, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(t.Context(), "another"); err == nil || !strings.Contains(err.Error(), "was submitted by labctl test, and this is another") {
		t.Errorf("another version takes the plan: %v", err)
	}
}

func TestJob(t *testing.T) {
	t.Parallel()
	s := jobs.JobSpec{
		Name: "week-3", Namespace: "grading", Image: "registry.example.org/labctl:0.1.0", Parallelism: 8, Retries: 6, FinalExitCode: 64,
		Memory: resource.MustParse("1Gi"), CPU: resource.MustParse("1"), Queue: "teaching", Secret: "storage", VolumeClaim: "class", VolumePath: "/data",
		TTL: 86400, Run: &jobs.Run{ID: "3f2a9c01b7de", Plan: &jobs.Plan{Shards: []int{2000, 2000, 1500}}}, Destination: "s3://class/graded?region=eu-central-1",
		Egress: []jobs.Egress{
			{CIDR: "192.0.2.7/32", Port: intstr.FromInt32(9000)},
			{Namespace: "storage", Pods: map[string]string{"app": "minio"}, Port: intstr.FromString("api")},
			{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}, Port: intstr.FromInt32(443)},
		},
	}
	for name, object := range map[string]any{"job": s.Job(), "networkpolicy": s.NetworkPolicy()} {
		got, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".golden.yaml")
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what %s says (-update writes it anew):\n%s", name, file, got)
		}
	}
}
