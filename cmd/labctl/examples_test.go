package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// Why examples are not run but only parsed.
const (
	runningLab = "needs a running lab"
	endless    = "runs until Ctrl-C"
	machine    = "depends on this machine"
	remote     = "needs a cloud or a Kubernetes cluster"
	itself     = "packs the program that runs, which is the test here"
)

// onlyParsed are the examples that are not run. All others are.
var onlyParsed = map[string]string{
	"labctl grade --all": runningLab,
	"labctl grade networkpolicy --submission answers/ --engine both": runningLab,
	"labctl explain networkpolicy frontend backend --live":           runningLab,
	"labctl matrix networkpolicy --live":                             runningLab,
	"labctl diff networkpolicy answers/ --live":                      runningLab,
	"labctl next":                       runningLab,
	"labctl solve backend-ingress-deny": runningLab,
	"labctl watch":                      runningLab,
	"labctl watch networkpolicy --submission answers/":                             endless,
	"labctl watch networkpolicy --submission answers/ --task backend-ingress-deny": endless,
	"labctl dev":                     endless,
	"labctl dev mylab/":              endless,
	"labctl dev mylab/ -o json":      endless,
	"labctl lsp":                     "waits for an editor",
	"labctl lsp --lab networkpolicy": "waits for an editor",
	"labctl status":                  runningLab,
	"labctl hubble status":           runningLab, "labctl hubble status -o json": runningLab,
	"labctl hubble list nodes": runningLab, "labctl hubble list nodes -o json": runningLab,
	"labctl hubble port-forward": runningLab, "labctl hubble port-forward --port 14245": runningLab,
	"labctl status -o summary": runningLab,
	"labctl status --instance networkpolicy --wait --wait-duration 2m": runningLab,
	"labctl status -o json":                                   runningLab,
	"labctl observe --app backend --verdict dropped":          runningLab,
	"labctl observe --from frontend --to backend --follow":    runningLab,
	"labctl observe --since 5m --protocol dns -o json":        runningLab,
	"labctl observe -n default --not --to-port 53 -o compact": runningLab,
	"labctl reset":                             runningLab,
	"labctl reset --hard":                      runningLab,
	"labctl pause":                             runningLab,
	"labctl resume":                            runningLab,
	"labctl down":                              runningLab,
	"labctl down --instance networkpolicy":     runningLab,
	"labctl kubeconfig > lab.kubeconfig":       runningLab,
	"labctl kubeconfig --merge ~/.kube/config": runningLab,
	`eval "$(labctl env)"`:                     runningLab,
	"labctl env --shell fish | source":         runningLab,
	"labctl logs":                              runningLab,
	"labctl logs --instance networkpolicy --to logs.tar.gz": runningLab,
	"labctl logs --to - | tar -tz":                          runningLab,
	"labctl up networkpolicy":                               machine,
	"labctl up mylab/ --instance mine --on existing":        remote,
	"labctl up networkpolicy --on gke --yes":                remote,
	"labctl plan networkpolicy":                             machine,
	"labctl doctor":                                         machine,
	"labctl doctor networkpolicy -o json":                   machine,
	"labctl gc":                                             remote,
	"labctl gc --project my-course --yes":                   remote,
	"labctl gc -o json":                                     remote,
	"labctl gke-credentials":                                remote,
	"labctl batch networkpolicy submissions/ --out live/ --engine live --pool 2":                                                machine,
	"labctl batch networkpolicy 's3://class/week-3?region=eu-central-1' --out week-3/":                                          remote,
	"labctl batch collect --from 's3://class/graded?region=eu-central-1' --out graded/":                                         remote,
	"labctl batch collect --from file:///data/graded --out graded/ --format canvas-csv":                                         remote,
	"labctl batch status labctl-networkpolicy-3f2a9c01b7de":                                                                     remote,
	"labctl batch status labctl-networkpolicy-3f2a9c01b7de --watch":                                                             remote,
	"labctl batch cancel labctl-networkpolicy-3f2a9c01b7de":                                                                     remote,
	"labctl package gradescope networkpolicy --out autograder.zip":                                                              itself,
	"labctl package gradescope mylab/ --out autograder.zip --late --after-due":                                                  itself,
	"labctl autograde gradescope lab/":                                                                                          "needs Gradescope's folders",
	"labctl autograde gradescope lab/ --late":                                                                                   "needs Gradescope's folders",
	"labctl batch work file:///data/graded --run 3f2a9c01b7de --shard 0":                                                        remote,
	"labctl batch submit networkpolicy file:///data/week-3 --out file:///data/graded --volume-claim class --image labctl:0.1.0": remote,
	"labctl batch submit networkpolicy 's3://class/week-3?region=eu-central-1' --out 's3://class/graded?region=eu-central-1' " +
		"--image registry.example.org/labctl:0.1.0 --secret storage --parallelism 8": remote,
}

// TestExamples runs every example of every help page in a shell, those of a page one after the other in one directory
// with the files that they name. Those of onlyParsed are parsed like all others, but not run.
func TestExamples(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, cmd := range ourCommands(t) {
		lines := exampleLines(cmd)
		for _, line := range lines {
			known[line] = true
		}
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			exampleFiles(t, dir)
			if slices.Contains(lines, "labctl checkout networkpolicy") {
				_ = os.RemoveAll(filepath.Join(dir, "answers")) // the example creates it
			}
			for _, line := range lines {
				parseExample(t, dir, line)
				if onlyParsed[line] == "" {
					runExample(t, dir, line)
				}
			}
		})
	}
	for line := range onlyParsed {
		if !known[line] {
			t.Errorf("onlyParsed has %q, which no help page has", line)
		}
	}
}

func exampleLines(cmd *cobra.Command) []string {
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n    ", "")) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// parseExample lets a shell read a line, and gives what it passes to each labctl to the commands to parse.
func parseExample(t *testing.T, dir, line string) {
	t.Helper()
	sh := exec.Command("sh", "-c", line)
	sh.Dir = dir
	record := filepath.Join(t.TempDir(), "calls")
	sh.Env = append(exampleEnv(dir), "CALLS="+record,
		"PATH="+filepath.Join(dir, "recorder")+":"+filepath.Join(dir, "tools")+":"+os.Getenv("PATH"))
	_ = sh.Run() // what follows a pipe finds nothing to work on
	calls, err := os.ReadFile(record)
	if err != nil || len(calls) == 0 {
		t.Errorf("%q calls no labctl: %v", line, err)
	}
	for call := range strings.SplitSeq(strings.TrimSuffix(string(calls), "\n"), "\n") {
		if err := parseCall(t, strings.Split(strings.TrimSuffix(call, "\t"), "\t")); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func parseCall(t *testing.T, args []string) error {
	root := newRootCommand(cli.NewApp(t.Context()))
	cmd, rest, err := root.Find(args)
	switch {
	case err != nil:
		return err
	case !cmd.Runnable():
		return fmt.Errorf("%s does nothing by itself", cmd.CommandPath())
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return errors.Join(cmd.ValidateArgs(cmd.Flags().Args()), cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
}

// runExample runs a line. A submission may be below the pass mark.
func runExample(t *testing.T, dir, line string) {
	t.Helper()
	sh := exec.Command("sh", "-c", line)
	sh.Dir, sh.Env = dir, exampleEnv(dir)
	sh.Env = append(sh.Env, "PATH="+filepath.Join(dir, "tools")+":"+os.Getenv("PATH"))
	out, err := sh.CombinedOutput()
	if code := sh.ProcessState.ExitCode(); code != 0 && code != exitBelowMark {
		t.Errorf("%q ends with %d (%v):\n%s", line, code, err, out)
	}
}

func exampleEnv(dir string) []string {
	return append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir,
		"KUBECONFIG=/dev/null")
}

// exampleFiles writes what examples name: submissions, a class, a lab, here and in mylab, and manifests to probe. Programs
// that may not be there have a stand-in; that of labctl records its arguments.
func exampleFiles(t *testing.T, dir string) {
	t.Helper()
	samples := filepath.Join("..", "..", "labs", "networkpolicy", "samples")
	solution := filepath.Join(samples, "solution")
	for to, from := range map[string]string{
		"answers": solution, "last-week": filepath.Join(samples, "service-port"), "submissions/ann": solution,
		"submissions/ben": filepath.Join(samples, "forgot-dns"), "mylab": filepath.Join("testdata", "mylab"),
		".": filepath.Join("testdata", "shop"),
	} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	pods := `{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [{name: c}]}, status: {podIP: 10.0.0.1}}` +
		"\n---\n" + `{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: shop}, spec: {containers: [{name: c}]}, status: {podIP: 10.0.0.2}}`
	deny := `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: shop}, spec: {podSelector: {}}}`
	files := map[string]string{
		"class.csv":         "student_id,path,submitted_at\nann,submissions/ann,2026-11-23T17:00:00Z\nben,submissions/ben,2026-11-25T17:00:00Z\n",
		"pods.yaml":         pods,
		"services.yaml":     "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {ports: [{port: 80}]}}",
		"a.yaml":            fmt.Sprintf(deny, "a"),
		"b.yaml":            fmt.Sprintf(deny, "b"),
		"cluster/pods.yaml": pods, "policies/a.yaml": fmt.Sprintf(deny, "a"),
		"probes.json":     `{"probes": [{"from": "shop/web", "to": "shop/api", "port": 80}]}`,
		"recorder/labctl": "#!/bin/sh\n{ printf '%s\\t' \"$@\"; echo; } >>\"$CALLS\"\n",
		"tools/kubectl":   "#!/bin/sh\ncat mylab/samples/solution/policy.yaml\n",
		"tools/dot":       "#!/bin/sh\ncat\n",
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "Downloads"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeClass(t, filepath.Join(dir, "Downloads", "submissions.zip"))
}
