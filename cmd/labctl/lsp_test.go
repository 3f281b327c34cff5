package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
)

// TestLSP talks to the program itself; cmd/labctl/internal/lsp tests what it says.
func TestLSP(t *testing.T) {
	t.Parallel()
	for name, inOrder := range map[string]bool{"shutdown and exit": true, "exit alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("labctl", "lsp", "--stdio")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			editor := jrpc2.NewClient(channel.LSP(out, in), nil)
			if _, err := editor.Call(t.Context(), "initialize", map[string]any{"capabilities": map[string]any{}}); err != nil {
				t.Fatal(err)
			}
			if inOrder {
				if _, err := editor.Call(t.Context(), "shutdown", nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := editor.Notify(t.Context(), "exit", nil); err != nil {
				t.Fatal(err)
			}
			code := 0
			var failed *exec.ExitError
			if err := cmd.Wait(); errors.As(err, &failed) {
				code = failed.ExitCode()
			}
			if want := map[bool]int{true: exitPassed, false: exitBelowMark}[inOrder]; code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			if stderr.Len() > 0 {
				t.Errorf("standard error: %s", stderr.String())
			}
		})
	}
}
