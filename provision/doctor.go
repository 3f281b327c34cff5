package provision

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/labs"
)

// What a lab needs, with some margin: a node takes about 1 GiB of memory, and its images about 2 GB of disk.
const (
	needMemory    = 4 << 30
	needDisk      = 10 << 30
	needStateDisk = 16 << 20
	needInstances = 512 // of inotify, as kind recommends
	needWatches   = 65536
)

// Doctor checks whether this machine can run labs: what the provider needs, the settings, and limits that clusters
// often exceed. lab may be nil. It changes nothing.
func (m *Manager) Doctor(ctx context.Context, lab *labs.Lab, on string) ([]Finding, error) {
	if lab == nil {
		lab = &labs.Lab{Name: "doctor", Cilium: labs.Cilium{Version: labs.DefaultCiliumVersion}}
		if m.Settings.Chart != "" && !strings.HasPrefix(m.Settings.Chart, "oci://") {
			lab.Cilium.Version = "" // some lab may need the site's version, whatever it is
		}
	}
	r, err := m.newRun(UpOptions{Lab: lab, On: on})
	if err != nil {
		return nil, err
	}
	findings := r.provider.Preflight(ctx, r.cluster)
	findings = append(findings, m.checkSettings()...)
	findings = append(findings, checkStateDir(m.Store.Dir))
	if r.provider.Local() {
		findings = append(findings, checkMemory()...)
		findings = append(findings, checkInotify("/proc")...)
	}
	findings = append(findings, checkKubeconfigs(ctx, clientcmd.NewDefaultClientConfigLoadingRules().Precedence...)...)
	if !slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Check == checkOfChart && f.Severity == Failure
	}) {
		findings = append(findings, r.checkChart(ctx))
	}
	return findings, nil
}

const checkOfChart = "Cilium's chart"

// checkChart checks that the chart can be fetched and is the expected one.
func (r *run) checkChart(ctx context.Context) Finding {
	f := Finding{Check: checkOfChart, Severity: OK, Message: r.source().String()}
	if _, err := r.downloadChart(ctx); err != nil {
		f.Severity, f.Message = Failure, err.Error()
		f.Fix = "fix the setting cilium_chart"
		if r.source().Ref == "" {
			f.Fix = "in a closed network, set cilium_chart to a local copy of the chart"
		}
	}
	return f
}

// checkStateDir checks that the state of instances can be written.
func checkStateDir(dir string) Finding {
	f := Finding{Check: "state directory", Severity: OK, Message: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.Severity, f.Message, f.Fix = Failure, err.Error(),
			"make it writable, or set XDG_STATE_HOME to another directory"
		return f
	}
	free, err := diskFree(dir)
	if err == nil && free < needStateDisk {
		f.Severity, f.Message = Failure, fmt.Sprintf("%s has %s left", dir, bytesText(free))
		f.Fix = "free some space, or set XDG_STATE_HOME to another directory"
	}
	return f
}

// CheckDisk checks that a directory has room for a cluster's images. Providers use it.
func CheckDisk(what, dir string) (Finding, bool) {
	free, err := diskFree(dir)
	if err != nil {
		return Finding{}, false // it is in a virtual machine
	}
	f := Finding{Check: "disk", Severity: OK, Message: fmt.Sprintf("%s (%s) has %s free", what, dir, bytesText(free))}
	switch {
	case free < needDisk/10:
		f.Severity = Failure
	case free < needDisk:
		f.Severity = Warning
	}
	if f.Severity != OK {
		f.Fix = fmt.Sprintf("a lab's images take up to %s; delete what you do not need (docker system prune)",
			bytesText(needDisk))
	}
	return f, true
}

func diskFree(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

func bytesText(n uint64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// checkMemory checks the available memory. On macOS the engine runs in a virtual machine, which its provider checks.
func checkMemory() []Finding {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(line, "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return nil
		}
		f := Finding{Check: "memory", Severity: OK, Message: bytesText(kib<<10) + " available"}
		if kib<<10 < needMemory/2 {
			f.Severity, f.Fix = Warning,
				"a lab of two nodes takes about 2 GiB; close other programs, or pause other labs (labctl pause)"
		}
		return []Finding{f}
	}
	return nil
}

// checkInotify checks limits at which kubelets and agents of several nodes fail with "too many open files":
// https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files.
// proc is where the limits are; without it, as on macOS, they are not checked.
func checkInotify(proc string) []Finding {
	var findings []Finding
	for _, limit := range []struct {
		name string
		need int
	}{{"max_user_instances", needInstances}, {"max_user_watches", needWatches}} {
		data, err := os.ReadFile(filepath.Join(proc, "sys/fs/inotify", limit.name))
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			continue
		}
		f := Finding{Check: "inotify " + limit.name, Severity: OK, Message: strconv.Itoa(n)}
		if n < limit.need {
			f.Severity = Warning
			f.Message += fmt.Sprintf(" is too low for several nodes (%d recommended)", limit.need)
			f.Fix = fmt.Sprintf("sudo sysctl fs.inotify.%s=%d", limit.name, limit.need)
		}
		findings = append(findings, f)
	}
	return findings
}

// kubeconfigLock is the file that kubectl, kind and labctl create while they change a kubeconfig.
func kubeconfigLock(path string) string { return path + ".lock" }

// patience is how long another program may take to change a kubeconfig.
const patience = 2 * time.Second

// checkKubeconfigs checks that no kubeconfig of the user is locked for good, as a program that was killed leaves it.
func checkKubeconfigs(ctx context.Context, paths ...string) []Finding {
	var findings []Finding
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, path := range paths {
		if path == "" {
			continue
		}
		locked := func() bool { _, err := os.Lstat(kubeconfigLock(path)); return err == nil }
		for locked() && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		if locked() {
			findings = append(findings, Finding{
				Check: "kubeconfig", Severity: Failure, Message: path + " is locked: " + kubeconfigLock(path) + " exists",
				Fix: "if no program is changing it, delete the lock: rm " + strconv.Quote(kubeconfigLock(path)),
			})
		}
	}
	return findings
}
