package jobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/jobs"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/batch/storage/storagetest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const samples = "../../../labs/networkpolicy/samples"

// TestMain lets the test binary be the worker that is killed.
func TestMain(m *testing.M) {
	os.Setenv("AWS_ACCESS_KEY_ID", "tests")
	os.Setenv("AWS_SECRET_ACCESS_KEY", "tests")
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
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

func config(t *testing.T) batch.Config {
	t.Helper()
	fsys, dir, err := labs.Open("networkpolicy")
	if err != nil {
		t.Fatal(err)
	}
	lab, diags := labs.Load(fsys, dir, labs.LoadOptions{})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := offline.New(lab, policy.Config{Semantics: policy.Cilium})
	if err != nil {
		t.Fatal(err)
	}
	return batch.Config{
		Grader: grader, Engine: engine, Tool: "test", Out: filepath.Join(t.TempDir(), "out"), Late: lab.Late, Attempts: lab.Attempts,
		Due: time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC), Timeout: time.Minute,
	}
}

// class writes n submissions, some equal, some listed twice as attempts, one late, one missing.
func class(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	names, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	list := "student_id,path,submitted_at\n"
	for i := range n {
		name := fmt.Sprintf("student-%04d", i)
		to := filepath.Join(dir, name)
		if err := os.CopyFS(to, os.DirFS(filepath.Join(samples, names[i%len(names)].Name()))); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			extra := filepath.Join(to, "backend-ingress-deny", "extra.yaml")
			if err := errors.Join(os.MkdirAll(filepath.Dir(extra), 0o755), os.WriteFile(extra, fmt.Appendf(nil, "# by %d\n", i), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
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
type place struct {
	server *storagetest.S3
	url    func(folder string) string
}

func newPlace(t *testing.T) place {
	t.Helper()
	s3, err := storagetest.NewS3("class")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s3)
	t.Cleanup(server.Close)
	return place{s3, func(folder string) string {
		bucket, query, _ := strings.Cut(storagetest.URL("class", server.URL), "?")
		return bucket + "/" + folder + "?" + query
	}}
}

func (p place) open(t *testing.T, folder string) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), p.url(folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (p place) upload(t *testing.T, folder, dir string) {
	t.Helper()
	to := p.open(t, folder)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		return to.Write(t.Context(), name, data)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// submit uploads a class and submits it.
func (p place) submit(t *testing.T, dir string, shards int) *jobs.Run {
	t.Helper()
	p.upload(t, "in", dir)
	source, err := storage.OpenSource(t.Context(), p.url("in/class.csv"), batch.DefaultLimits(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	found, err := source.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run, resumed, err := jobs.Submit(t.Context(), p.open(t, "out"), jobs.Submission{
		Config: config(t), Semantics: policy.Cilium, Source: p.url("in/class.csv"), Entries: found.Entries, Shards: shards,
	})
	if err != nil || resumed {
		t.Fatal(err, resumed)
	}
	return run
}

// local grades a class on this machine.
func local(t *testing.T, dir string) map[string]string {
	t.Helper()
	cfg := config(t)
	found, err := batch.Find(filepath.Join(dir, "class.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
		t.Fatal(err)
	}
	return contents(t, cfg.Out)
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
	return contents(t, cfg.Out), nil
}

// contents are the files of an output directory but the journal, whose order is that of the work.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || name == "journal.jsonl" || name == "lock" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s differs, or is missing", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is one too many", name)
		}
	}
	if len(want) < 10 {
		t.Errorf("only %d files were compared", len(want))
	}
}

// Workers that are killed at any moment lose nothing that matters: the others finish, and the results are those of one machine.
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
		cmd.Env = append(os.Environ(), "JOBS_TEST_DESTINATION="+p.url("out"), "JOBS_TEST_SHARD="+strconv.Itoa(shard))
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
	same(t, got, want)
}

// No result that has reached the destination is made again, also by two workers after each other.
func TestNothingIsGradedTwice(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	run := p.submit(t, class(t, 20), 1)
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
	for _, shard := range []int{0, 2, 3} {
		if err := work(t.Context(), p.url("out"), shard); err != nil {
			t.Fatal(err)
		}
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
	if err := work(t.Context(), p.url("out"), 1); err != nil {
		t.Fatal(err)
	}

	// A segment that is damaged does not count, and its results are made again.
	out := p.open(t, "out")
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
	for name, damaged := range map[string][]byte{"cut": data[:len(data)-7], "a flipped bit": flip(data), "empty": {}} {
		if err := out.Write(t.Context(), victim, damaged); err != nil {
			t.Fatal(err)
		}
		_, err := collect(t, run, false)
		if !errors.As(err, &gap) || len(gap.Shards) != 1 || gap.Shards[0].Shard != 2 || len(gap.Shards[0].Damaged) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := work(t.Context(), p.url("out"), 2); err != nil {
		t.Fatal(err)
	}
	got, err = collect(t, run, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, local(t, dir))
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
	again := func(change func(*jobs.Submission)) (*jobs.Run, bool) {
		t.Helper()
		source, err := storage.OpenSource(t.Context(), p.url("in/class.csv"), batch.DefaultLimits(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		found, err := source.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := jobs.Submission{Config: config(t), Semantics: policy.Cilium, Source: p.url("in/class.csv"), Entries: found.Entries, Shards: 2}
		change(&s)
		r, resumed, err := jobs.Submit(t.Context(), p.open(t, "out"), s)
		if err != nil {
			t.Fatal(err)
		}
		return r, resumed
	}
	if r, resumed := again(func(*jobs.Submission) {}); !resumed || r.ID != run.ID {
		t.Errorf("the same is another run, %s and not %s", r.ID, run.ID)
	}
	for name, change := range map[string]func(*jobs.Submission){
		"an option":    func(s *jobs.Submission) { s.Config.Options.Reveal = true },
		"a due date":   func(s *jobs.Submission) { s.Config.Due = s.Config.Due.Add(time.Hour) },
		"a submission": func(s *jobs.Submission) { s.Entries = s.Entries[1:] },
		"the tool":     func(s *jobs.Submission) { s.Config.Tool = "another" },
	} {
		if r, resumed := again(change); resumed || r.ID == run.ID {
			t.Errorf("%s is another, and the run is the same", name)
		}
	}
	// The last one was submitted by another version.
	to := p.open(t, "out")
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
		Name: "week-3", Namespace: "grading", Image: "registry.example.org/labctl:0.1.0", Parallelism: 8, Retries: 6,
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
