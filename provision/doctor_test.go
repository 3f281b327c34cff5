package provision

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/labs"
)

func TestCheckDisk(t *testing.T) {
	t.Parallel()
	f, ok := CheckDisk("here", t.TempDir())
	if !ok || f.Check != "disk" || !strings.Contains(f.Message, "free") || (f.Severity == OK) != (f.Fix == "") {
		t.Errorf("%+v, %v", f, ok)
	}
	if _, ok := CheckDisk("nowhere", "/no/such/directory"); ok {
		t.Error("a directory that is not there was looked at")
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("no /proc, whose file system is always full")
	}
	f, ok = CheckDisk("full", "/proc")
	if !ok || f.Severity != Failure || f.Fix == "" {
		t.Errorf("a full disk: %+v, %v", f, ok)
	}
}

func TestCheckStateDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	if f := checkStateDir(dir); f.Severity != OK || f.Message != dir {
		t.Errorf("%+v", f)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := checkStateDir(filepath.Join(file, "b")); f.Severity != Failure || !strings.Contains(f.Fix, "XDG_STATE_HOME") {
		t.Errorf("%+v", f)
	}
}

func TestMachineChecks(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	for _, f := range append(checkMemory(), checkInotify("/proc")...) {
		if f.Check == "" || f.Message == "" || (f.Severity == OK) != (f.Fix == "") {
			t.Errorf("%+v", f)
		}
	}
	if len(checkMemory()) != 1 || len(checkInotify("/proc")) != 2 {
		t.Errorf("memory %+v, inotify %+v", checkMemory(), checkInotify("/proc"))
	}
}

// TestInotify: a limit that is too low comes with the command that raises it.
func TestInotify(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	dir := filepath.Join(proc, "sys/fs/inotify")
	if got := checkInotify(proc); got != nil {
		t.Errorf("without limits: %+v", got)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"max_user_instances": "128\n", "max_user_watches": "65536\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []Finding{
		{"inotify max_user_instances", Warning, "128 is too low for several nodes (512 recommended)", "sudo sysctl fs.inotify.max_user_instances=512"},
		{"inotify max_user_watches", OK, "65536", ""},
	}
	if got := checkInotify(proc); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestLockedKubeconfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, lock := filepath.Join(dir, "config"), filepath.Join(dir, "config.lock")
	write := func() {
		if err := os.WriteFile(lock, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	f := checkKubeconfigs(context.Background(), "", path)
	if len(f) != 1 || f[0].Severity != Failure || f[0].Message != path+" is locked: "+lock+" exists" || !strings.Contains(f[0].Fix, `rm "`+lock) {
		t.Errorf("%+v", f)
	}
	p := &fakeProvider{}
	m, _ := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	list := filepath.Join(t.TempDir(), "config") + string(filepath.ListSeparator) + path // as in $KUBECONFIG
	opts := UpOptions{Lab: fakeLab("shop"), Merge: list}
	if _, err := m.Up(context.Background(), opts); err == nil || !strings.Contains(err.Error(), "is locked") || len(p.calls) > 0 {
		t.Errorf("up: %v, after %q", err, p.calls)
	}
	time.AfterFunc(200*time.Millisecond, func() { os.Remove(lock) })
	if f := checkKubeconfigs(context.Background(), path); f != nil {
		t.Errorf("a lock that is released soon: %+v", f)
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0 MiB", 5 << 20: "5 MiB", 3 << 29: "1.5 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestDoctorOfRemoteClusters: this machine's memory says nothing about nodes elsewhere. A proxy is no finding: Go
// and kubectl never use one for loopback addresses.
func TestDoctorOfRemoteClusters(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
	for _, remote := range []bool{false, true} {
		m, _ := newManager(t, &fakeProvider{remote: remote})
		m.Settings.Chart = chartOf(t)
		findings, err := m.Doctor(context.Background(), fakeLab("shop"), "")
		if err != nil {
			t.Fatal(err)
		}
		memory := slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == "memory" })
		if runtime.GOOS == "linux" && memory == remote {
			t.Errorf("remote %v: findings %+v", remote, findings)
		}
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == "proxy" }) {
			t.Errorf("a finding about the proxy: %+v", findings)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	old := filepath.Join(t.TempDir(), "chart")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "Chart.yaml"), []byte("apiVersion: v2\nname: cilium\nversion: 1.18.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		p     *fakeProvider
		lab   *labs.Lab
		chart string
		want  []string // failures
	}{
		{"all is well", &fakeProvider{}, fakeLab("shop"), chartOf(t), nil},
		{"the provider's findings", &fakeProvider{findings: []Finding{{"docker", Failure, "does not answer", "start it"}}}, fakeLab("shop"), chartOf(t), []string{"docker"}},
		{"the chart is gone", &fakeProvider{}, fakeLab("shop"), "/no/chart", []string{"Cilium's chart"}},
		{"the chart is of another version", &fakeProvider{}, fakeLab("shop"), old, []string{"Cilium's chart"}},
		{"no lab asks for a version", &fakeProvider{}, nil, old, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newManager(t, tc.p)
			m.Providers["kind"] = m.Providers["fake"]
			m.Settings.Chart = tc.chart
			findings, err := m.Doctor(context.Background(), tc.lab, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				if f.Severity == Failure && f.Check != "disk" && f.Check != "state directory" {
					got = append(got, f.Check)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("failures %q, want %q", got, tc.want)
			}
		})
	}
}
