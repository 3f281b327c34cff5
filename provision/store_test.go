package provision

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func newInstance(t *testing.T, s *Store, name string) *Instance {
	t.Helper()
	inst, err := s.Create(context.Background(), name, "labctl up")
	if err != nil {
		t.Fatal(err)
	}
	inst.State = &State{Name: name, Phases: map[string]PhaseState{}}
	if err := inst.Save(); err != nil {
		t.Fatal(err)
	}
	return inst
}

func TestStoreRoundTrip(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: filepath.Join(t.TempDir(), "labctl", "instances")}
	inst := newInstance(t, s, "shop")
	inst.State.Phases["apps"] = PhaseState{Status: PhaseDone, Inputs: "abc", Started: start}
	inst.State.Cluster = ClusterState{Provider: "kind", Block: map[string]any{"workers": 2}, UID: "u"}
	if err := inst.Save(); err != nil {
		t.Fatal(err)
	}
	if err := inst.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Open(context.Background(), "shop", "labctl reset")
	if err != nil {
		t.Fatal(err)
	}
	if got := again.State; got.FormatVersion != stateFormat || got.Phases["apps"].Inputs != "abc" || got.Cluster.UID != "u" || !got.Phases["apps"].Started.Equal(start) {
		t.Errorf("read %+v", got)
	}
	// Numbers become floats in JSON; the cluster block must still count as the same.
	if digestOf([]any{again.State.Cluster.Block}) != digestOf([]any{map[string]any{"workers": 2}}) {
		t.Error("the cluster block differs after it was read")
	}
	for _, path := range []string{again.Dir, filepath.Join(again.Dir, stateFile)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v, %v", path, info.Mode(), err)
		}
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(again.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	if _, err := s.Open(context.Background(), "shop", "labctl down"); !errors.Is(err, ErrNoInstance) {
		t.Errorf("open what was removed: %v", err)
	}
}

func TestStoreNames(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: filepath.Join(t.TempDir(), "none")}
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("no folder: %v, %v", names, err)
	}
	_, err := s.Open(context.Background(), "shop", "labctl status")
	if !errors.Is(err, ErrNoInstance) || !strings.Contains(err.Error(), "create one with: labctl up") {
		t.Errorf("the error is %v", err)
	}
	for _, name := range []string{"zoo", "shop", "bank"} {
		newInstance(t, s, name).Close()
	}
	// What is no instance is not listed: a file, an empty folder.
	for _, err := range []error{os.WriteFile(filepath.Join(s.Dir, "file"), nil, 0o600), os.Mkdir(filepath.Join(s.Dir, "empty"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	names, err := s.Names()
	if err != nil || !slices.Equal(names, []string{"bank", "shop", "zoo"}) {
		t.Errorf("names %v, %v", names, err)
	}
	_, err = s.Read("market")
	if !errors.Is(err, ErrNoInstance) || !strings.Contains(err.Error(), `"market" (there are: bank, shop, zoo)`) {
		t.Errorf("the error is %v", err)
	}
}

func TestInstanceNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "a1", "my-lab", strings.Repeat("a", 40)} {
		if err := checkName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "a_b", "a.b", "../a", "a/b", "ä", strings.Repeat("a", 41), "a\n"} {
		var usage *UsageError
		if err := checkName(bad); !errors.As(err, &usage) {
			t.Errorf("%q: %v", bad, err)
		}
		s := &Store{Dir: t.TempDir()}
		if _, err := s.Create(context.Background(), bad, ""); !errors.As(err, &usage) {
			t.Errorf("create %q: %v", bad, err)
		}
		if _, err := s.Open(context.Background(), bad, ""); !errors.As(err, &usage) {
			t.Errorf("open %q: %v", bad, err)
		}
	}
}

func TestStateFilesOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, content, want string }{
		{"good", `{"format_version": 1, "name": "shop"}`, ""},
		{"older", `{"name": "shop"}`, ""},
		{"torn", `{"format_version": 1, "na`, "unexpected end of JSON input"},
		{"empty", ``, "unexpected end of JSON input"},
		{"garbage", "\x00\x01\x02", "invalid character"},
		{"another type", `{"phases": []}`, "cannot unmarshal"},
		{"newer", `{"format_version": 99, "labctl_version": "9.9.9"}`, "was created by a newer labctl (9.9.9); use that version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &Store{Dir: t.TempDir()}
			path := filepath.Join(s.Dir, "shop", stateFile)
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a failed open must give the lock back
				inst, err := s.Open(context.Background(), "shop", "labctl status")
				switch {
				case tc.want == "" && err != nil:
					t.Fatal(err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "shop")):
					t.Fatalf("the error is %v; want one with %q", err, tc.want)
				}
				if err == nil {
					inst.Close()
				}
			}
			// Nothing that cannot be read is thrown away.
			if data, err := os.ReadFile(path); err != nil || string(data) != tc.content {
				t.Errorf("the file is %q now, %v", data, err)
			}
		})
	}
}

// TestSaveIsAtomic: whoever reads while it is written sees the old state or the new one.
func TestSaveIsAtomic(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: t.TempDir()}
	inst := newInstance(t, s, "shop")
	defer inst.Close()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			st, err := s.Read("shop")
			if err != nil {
				t.Error(err)
				return
			}
			if len(st.Baseline) != 0 && len(st.Baseline) != 1000 {
				t.Errorf("half a state: %d connections", len(st.Baseline))
				return
			}
		}
	})
	for i := range 40 {
		inst.State.Baseline = make([]Connection, 1000*(i%2))
		if err := inst.Save(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	entries, err := os.ReadDir(inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestSaveThatFailsKeepsTheOldState(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: t.TempDir()}
	inst := newInstance(t, s, "shop")
	defer inst.Close()
	inst.State.Task = "first"
	if err := inst.Save(); err != nil {
		t.Fatal(err)
	}
	inst.State.Task = "second"
	inst.State.Cluster.Block = map[string]any{"x": func() {}} // has no JSON
	if err := inst.Save(); err == nil || !strings.Contains(err.Error(), `save the state of lab instance "shop"`) {
		t.Errorf("the error is %v", err)
	}
	if st, err := s.Read("shop"); err != nil || st.Task != "first" {
		t.Errorf("read %+v, %v", st, err)
	}
}

// TestLockBetweenProcesses holds the lock in another process, since that is who is to be kept out, and kills it.
func TestLockBetweenProcesses(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: t.TempDir()}
	newInstance(t, s, "shop").Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	cmd.Env = append(os.Environ(), "HOLD_LOCK_OF="+s.Dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	began := time.Now()
	_, err = s.Open(context.Background(), "shop", "labctl down")
	var busy *BusyError
	if !errors.As(err, &busy) || busy.By != fmt.Sprintf("labctl up, process %d", cmd.Process.Pid) {
		t.Fatalf("the error is %v", err)
	}
	if want := fmt.Sprintf(`lab instance "shop" is in use by labctl up, process %d; wait until it ends`, cmd.Process.Pid); err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it waited for %s", took)
	}
	if _, err := s.Create(context.Background(), "shop", "labctl up"); !errors.As(err, &busy) {
		t.Errorf("create: %v", err)
	}
	// To look needs no lock, and another instance has another one.
	if _, err := s.Read("shop"); err != nil {
		t.Error(err)
	}
	newInstance(t, s, "bank").Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	inst, err := s.Open(context.Background(), "shop", "labctl up")
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	inst.Close()
}

// TestHoldLock is what TestLockBetweenProcesses runs.
func TestHoldLock(t *testing.T) {
	dir := os.Getenv("HOLD_LOCK_OF")
	if dir == "" {
		t.Skip("for TestLockBetweenProcesses")
	}
	inst, err := (&Store{Dir: dir}).Open(context.Background(), "shop", "labctl up")
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close() // an instance that nothing refers to is collected, and its file and lock with it
	fmt.Println("held")
	time.Sleep(time.Minute)
}

func TestBusyErrorWithoutHolder(t *testing.T) {
	t.Parallel()
	if got := (&BusyError{Name: "shop"}).Error(); !strings.Contains(got, "by another labctl") {
		t.Errorf("got %q", got)
	}
}

// TestCloseOfNothing: an up that never wrote a state leaves no folder behind.
func TestCloseOfNothing(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: t.TempDir()}
	inst, err := s.Create(context.Background(), "shop", "labctl up")
	if err != nil {
		t.Fatal(err)
	}
	if inst.State != nil {
		t.Errorf("a new instance has the state %+v", inst.State)
	}
	inst.Close()
	if _, err := os.Stat(inst.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestSaveReport(t *testing.T) {
	t.Parallel()
	inst := newInstance(t, &Store{Dir: t.TempDir()}, "shop")
	defer inst.Close()
	name, err := inst.SaveReport("close", []byte(`{}`))
	if err != nil || name != "report-close.json" {
		t.Fatalf("%q, %v", name, err)
	}
	if data, err := os.ReadFile(filepath.Join(inst.Dir, name)); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestCurrentTask(t *testing.T) {
	t.Parallel()
	tasks := []string{"one", "two", "three"}
	for _, tc := range []struct {
		name  string
		state State
		tasks []string
		want  string
	}{
		{"nothing done", State{}, tasks, "one"},
		{"one done", State{Progress: map[string]Progress{"one": {Done: true}}}, tasks, "two"},
		{"graded, not done", State{Progress: map[string]Progress{"one": {Points: 3, Max: 5}}}, tasks, "one"},
		{"all done", State{Progress: map[string]Progress{"one": {Done: true}, "two": {Done: true}, "three": {Done: true}}}, tasks, "three"},
		{"moved on", State{Task: "three"}, tasks, "three"},
		{"a lab without tasks", State{}, nil, ""},
	} {
		if got := tc.state.CurrentTask(tc.tasks); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestStateJSON: fields that other programs, and later versions, read by name.
func TestStateJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(State{FormatVersion: 1, Name: "shop", Tool: "0.1.0", Phases: map[string]PhaseState{"apps": {Status: PhaseDone, Started: start}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"format_version":1`, `"name":"shop"`, `"labctl_version":"0.1.0"`, `"apps":{"status":"done"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	if strings.Contains(string(data), `"finished"`) {
		t.Errorf("a phase that has not finished says when: %s", data)
	}
}
