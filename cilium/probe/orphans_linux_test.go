package probe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNothingIsLeft ends the script before its probes do. Whatever they started has ended by then, too: in a pod
// nobody would wait for it.
func TestNothingIsLeft(t *testing.T) {
	// As in a pod, orphans come to a process that does not care.
	const setChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Fatal(errno)
	}
	dir := t.TempDir()
	// Tools that take long and know nobody.
	for _, tool := range []string{"curl", "dig", "nc", "ping"} {
		if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\nexec sleep 30.125\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := newRunning(
		Probe{Host: "10.0.0.1", Port: 80, Echo: true}, Probe{Host: "x.", Port: 80}, Probe{Host: "x.", Protocol: DNS},
		Probe{Host: "10.0.0.1", Port: 53, Protocol: "UDP"}, Probe{Host: "10.0.0.1", Protocol: "ICMP"}, Probe{Host: "10.0.0.1", Port: 443, Learn: "x."},
	)
	cmd := exec.Command("setsid", "sh", "-c", r.script(time.Second))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	listener, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	sleeping := func() int {
		out, _ := exec.Command("pgrep", "-g", fmt.Sprint(cmd.Process.Pid), "-x", "sleep").Output()
		return len(strings.Fields(string(out)))
	}
	for start := time.Now(); sleeping() < len(r.probes); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d of %d tools have started", sleeping(), len(r.probes))
		}
	}
	listener.Close() // whoever prints now is ended by SIGPIPE
	in.Close()
	start := time.Now()
	_ = cmd.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s to end", took)
	}
	// pgrep sees processes that have ended and that nobody has waited for.
	if out, _ := exec.Command("pgrep", "-g", fmt.Sprint(cmd.Process.Pid), "-l").Output(); len(out) > 0 {
		t.Errorf("left behind:\n%s", out)
	}
}
