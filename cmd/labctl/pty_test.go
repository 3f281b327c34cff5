package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/creack/pty"
)

// question matches what makes a terminal answer: requests for colours, capabilities, the cursor's place, the window's
// size, the version (xterm's "Control Sequences" lists them).
var question = regexp.MustCompile(`\x1b\][0-9;]*;\?|\x1b\[\??[0-9;]*n|\x1b\[[>=]?[0-9;]*c|\x1b\[\??[0-9;]*\$p|` +
	`\x1b\[[0-9;]*t|\x1b\[\?u|\x1b\[>[0-9]*q|\x1bP[+$]q|\x1b_G|\x1bZ|\x05`)

func TestQuestion(t *testing.T) {
	t.Parallel()
	for _, ask := range []string{
		"\x1b]11;?\x07", "\x1b]10;?\x1b\\", "\x1b]4;1;?\x07", "\x1b[6n", "\x1b[?6n", "\x1b[5n", "\x1b[c", "\x1b[>c", "\x1b[0c", "\x1b[?2026$p",
		"\x1b[18t", "\x1b[?u", "\x1b[>0q", "\x1bP+q544e\x1b\\", "\x1bP$qm\x1b\\", "\x1b_Gi=1;\x1b\\", "\x1bZ", "\x05",
	} {
		if !question.MatchString(ask) {
			t.Errorf("%q is not taken for a question", ask)
		}
	}
	for _, said := range []string{"\x1b[?2026h\x1b[3J\x1b[H", "\x1b[K", "\x1b[J\x1b[?2026l", "\x1b[32m✓\x1b[0m", "\x1b[2K\r", "\x1b]8;;https://x\x1b\\", "\x1b[1;31mno\x1b[22m"} {
		if question.MatchString(said) {
			t.Errorf("%q is taken for a question", said)
		}
	}
}

// onTerminal runs labctl with all its streams on a terminal that never answers, and returns what it wrote there.
// until, if any, is what to wait for before Ctrl-C; without it the command has to end by itself.
func onTerminal(t *testing.T, dir string, env []string, until string, args ...string) string {
	t.Helper()
	return onScreen(t, 120, dir, env, until, args...)
}

// onScreen is onTerminal with so many columns.
func onScreen(t *testing.T, columns uint16, dir string, env []string, until string, args ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// TestMain runs labctl's main in a process whose program has that name.
	labctl := filepath.Join(dir, "labctl")
	if err := os.Symlink(exe, labctl); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, labctl, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.WaitDelay = time.Second
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	var written bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for interrupted := false; ; {
			n, err := screen.Read(buf)
			written.Write(buf[:n])
			if !interrupted && until != "" && bytes.Contains(written.Bytes(), []byte(until)) {
				interrupted = true
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
			if err != nil { // EIO on Linux, io.EOF elsewhere: the other end was closed
				return
			}
		}
	}()
	_ = cmd.Wait() // the exit code is other tests' business
	if ctx.Err() != nil {
		t.Errorf("labctl %s has not ended", strings.Join(args, " "))
	}
	select {
	case <-read: // all that it wrote: reading ends when the command's side is closed
	case <-time.After(5 * time.Second): // a process that it left behind keeps it open
	}
	screen.Close()
	<-read
	return written.String()
}

// TestNothingAsksTheTerminal runs every command that needs no cluster, and those that need one up to where they find
// none, on a terminal that does not answer.
func TestNothingAsksTheTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shop, err := filepath.Abs(filepath.Join("testdata", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "shop"), os.DirFS(shop)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "class", "ann"), os.DirFS(filepath.Join(shop, "samples", "solution"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "ugly"), fstest.MapFS{"lab.hcl": {Data: []byte("lab  \"ugly\" {\n}\n")}}); err != nil {
		t.Fatal(err)
	}
	answers := filepath.Join("shop", "samples", "solution")
	commands := []struct {
		until string // then Ctrl-C
		args  string
	}{
		{args: ""}, {args: "help"}, {args: "version"}, {args: "labs"}, {args: "show shop"}, {args: "show shop close"}, {args: "start networkpolicy started"},
		{args: "hint shop close"}, {args: "next"}, {args: "solve"}, {args: "autograde"}, {args: "completion bash"}, {args: "no-such-command"},
		{args: "grade shop --offline --submission " + answers}, {args: "grade shop --offline -v --submission " + answers},
		{args: "grade shop --offline -o json --submission " + answers}, {args: "grade shop --offline --submission no-such-folder"},
		{args: "grade shop --submission " + answers}, {args: "grade shop"}, // no instance
		{args: "explain shop frontend backend --submission " + answers}, {args: "matrix shop --submission " + answers},
		{args: "diff shop " + answers + " shop/samples/wrong"},
		{args: "probe --policies " + answers + " --from default/a --to default/b:80"},
		{args: "watch shop --submission " + answers, until: "100%"}, {args: "watch shop"},
		{args: "dev shop", until: "as it declares; watching"}, {args: "lsp --lab"},
		{args: "init new"}, {args: "fmt -check ugly"}, {args: "validate shop"}, {args: "test shop"},
		{args: "batch shop --submissions class --out results --offline -v"}, {args: "package shop --out package"},
		{args: "plan no-such-lab"}, {args: "up no-such-lab"}, {args: "up shop --on existing --kubeconfig /dev/null"},
		{args: "status"}, {args: "observe"}, {args: "reset"}, {args: "pause"}, {args: "resume"}, {args: "down"}, {args: "list"}, {args: "kubeconfig"}, {args: "env"},
		{args: "logs"}, {args: "config"}, {args: "gc"}, {args: "doctor"},
	}
	base := []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_CACHE_HOME=" + dir, "PATH=" + dir, "TERM=xterm-256color", "KUBECONFIG=/dev/null"}
	for _, c := range commands {
		for _, env := range [][]string{nil, {"NO_COLOR=1"}, {"COLORTERM=truecolor", "CLICOLOR_FORCE=1"}, {"TERM=dumb"}} {
			t.Run(strings.Join(append([]string{c.args}, env...), " "), func(t *testing.T) {
				said := onTerminal(t, dir, append(base[:len(base):len(base)], env...), c.until, strings.Fields(c.args)...)
				if ask := question.FindString(said); ask != "" {
					t.Errorf("it asks the terminal %q in:\n%q", ask, said)
				}
				if c.until != "" && !strings.Contains(said, c.until) {
					t.Errorf("it has not come as far as %q:\n%s", c.until, said)
				}
				if strings.TrimSpace(said) == "" {
					t.Error("it has written nothing")
				}
				if len(env) > 0 && env[0] == "NO_COLOR=1" && regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(said) {
					t.Errorf("it writes colours in spite of NO_COLOR:\n%q", said)
				}
			})
		}
	}
}
