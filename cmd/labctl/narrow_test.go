package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

const narrow = 60

// toCopy matches lines that stay as they are so that they can be copied: commands, and lines of a lab behind their number.
var toCopy = regexp.MustCompile(`(^|: )(labctl|kubectl) |^\d+: `)

// checkNarrow holds that no line is wider than a narrow terminal, but for a single word in the last column, such as the name of a file, and
// for what is to be copied. code tells whether lines indented by four are code.
func checkNarrow(t *testing.T, text string, code bool) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(ansi.Strip(line), "\r\n")
		words := strings.TrimSpace(line)
		column := words[strings.LastIndex(words, "  ")+1:]
		if ansi.StringWidth(line) <= narrow || !strings.Contains(strings.TrimSpace(column), " ") || toCopy.MatchString(words) ||
			strings.HasPrefix(line, "\t") || code && strings.HasPrefix(line, "    ") {
			continue
		}
		t.Errorf("a line of %d columns: %q", ansi.StringWidth(line), line)
	}
}

// TestHelpIsNarrow shows every help page in a narrow terminal.
func TestHelpIsNarrow(t *testing.T) {
	t.Parallel()
	for _, cmd := range ourCommands(t) {
		path := strings.Fields(cmd.CommandPath())[1:]
		t.Run(strings.Join(path, " "), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			app := cli.NewApp(t.Context())
			app.Out, app.Terminal = &out, cli.Terminal{Is: true, Width: narrow}
			root := newRootCommand(app)
			root.SetArgs(append(path, "--help"))
			if err := root.Execute(); err != nil || !strings.Contains(out.String(), "Usage:") {
				t.Fatalf("%v\n%s", err, &out)
			}
			checkNarrow(t, out.String(), false)
		})
	}
}

// TestNarrowTerminal runs commands in a narrow terminal.
func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exampleFiles(t, dir)
	refused, err := filepath.Abs(filepath.Join("testdata", "shop", "samples", "refused"))
	if err != nil {
		t.Fatal(err)
	}
	bad := `lab "bad" {
  titel = "x"
}
app "a" {
  replicas = "a very long value indeed, which no number is, and it goes on"
}
`
	if err := os.CopyFS(filepath.Join(dir, "bad"), fstest.MapFS{"lab.hcl": {Data: []byte(bad)}}); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir + "/config", "XDG_STATE_HOME=" + dir + "/state",
		"XDG_CACHE_HOME=" + dir + "/cache", "PATH=" + dir,
		"TERM=xterm-256color", "DOCKER_HOST=unix:///dev/null"}
	for args, want := range map[string]string{
		"labs":                                       "networkpolicy",
		"show networkpolicy":                         "allow-monitoring-namespace",
		"show networkpolicy 1":                       "night jobs",
		"show networkpolicy 2":                       "\x1b[3misolated\x1b[0m",
		"show networkpolicy 2 isolated":              "points",
		"hint networkpolicy":                         "allow-monitoring-namespace label   costs 1 point\r\n",
		"hint networkpolicy 5":                       "costs 1 point",
		"hint networkpolicy 6 and-or":                "\x1b[36mfrom\x1b[0m",
		"grade networkpolicy --submission last-week": "No instance of the lab",
		"grade . --submission " + refused:            "refused",
		"grade bad --submission last-week":           "Error",
		"grade networkpolicy --offline":              "--submission",
		"validate bad":                               "titel",
		"test mylab":                                 "Mutants",
		"explain networkpolicy frontend backend --submission last-week": "dropped",
		"matrix networkpolicy --submission answers":                     "allowed",
		"diff networkpolicy answers last-week":                          "frontend",
		"doctor":                                                        "container engine",
		"batch networkpolicy none --out out":                            "none",
	} {
		t.Run(args, func(t *testing.T) {
			said := onScreen(t, narrow, dir, env, "", strings.Fields(args)...)
			if !strings.Contains(said, want) {
				t.Errorf("no %q in\n%q", want, said)
			}
			checkNarrow(t, said, strings.HasPrefix(args, "show "))
		})
	}
}
