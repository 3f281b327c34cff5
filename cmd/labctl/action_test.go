package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// action is action.yml, as far as it matters.
type action struct {
	Name, Description string
	Inputs            map[string]struct {
		Description string
		Default     *string
		Required    bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			Name, ID, If, Shell, Run, Uses string
			Env                            map[string]string
		}
	}
}

func readAction(t *testing.T) (a action) {
	t.Helper()
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestActionIsWhole(t *testing.T) {
	t.Parallel()
	a := readAction(t)
	if a.Runs.Using != "composite" || a.Name == "" || a.Description == "" {
		t.Errorf("got %+v", a)
	}
	expression := regexp.MustCompile(`\${{ *inputs\.(\w+) *}}`)
	used := map[string]bool{}
	for _, s := range a.Runs.Steps {
		if s.Shell != "bash" || s.Uses != "" {
			t.Errorf("%s: a step of ours runs bash, and nobody else's action", s.Name)
		}
		if strings.Contains(s.Run, "${{") {
			t.Errorf("%s: an expression in a script is code that a caller writes", s.Name)
		}
		for _, value := range s.Env {
			for _, m := range expression.FindAllStringSubmatch(value, -1) {
				used[m[1]] = true
			}
		}
		for name := range a.Inputs {
			used[name] = used[name] || strings.Contains(s.If, "inputs."+name)
		}
	}
	for name, in := range a.Inputs {
		if !used[name] || in.Description == "" || in.Required == (in.Default != nil) {
			t.Errorf("input %s: it is used, described, and either required or has a default", name)
		}
	}
	for name := range used {
		if _, ok := a.Inputs[name]; !ok {
			t.Errorf("there is no input %s", name)
		}
	}
}

func TestActionGrades(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	a := readAction(t)
	i := slices.IndexFunc(a.Runs.Steps, func(s struct {
		Name, ID, If, Shell, Run, Uses string
		Env                            map[string]string
	}) bool {
		return s.ID == "grade"
	})
	if i < 0 {
		t.Fatal("no step grades")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Abs("../../labs/networkpolicy/samples")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		submission, options, fail string
		code                      int
		outputs, printed          string
	}{
		"all points":                    {samples + "/solution", "", "true", 0, "status=passed\npoints=100\nmax=100\npercent=100\n", "::notice "},
		"below":                         {samples + "/service-port", "", "true", 1, "status=failed\npoints=50\n", "::error file="},
		"below, but that is no failure": {samples + "/service-port", "", "false", 0, "status=failed\npoints=50\n", "::error file="},
		"options":                       {samples + "/service-port", "--task\nbackend-ingress-deny\n", "true", 0, "status=passed\npoints=12\nmax=12\n", "::notice "},
		"refused":                       {"x.yaml", "", "false", 4, "status=refused\npoints=0\n", "::error file=x.yaml,line=1,"},
		"wrong use":                     {"nowhere", "", "false", 2, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			labctl := filepath.Join(dir, "labctl")
			if err := os.Symlink(self, labctl); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte("kind: Secret\napiVersion: v1\nmetadata: {name: x}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			output, summary := filepath.Join(dir, "output"), filepath.Join(dir, "summary")
			cmd := exec.Command(bash, "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", a.Runs.Steps[i].Run)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_OUTPUT="+output, "GITHUB_STEP_SUMMARY="+summary,
				"LABCTL_ACTION_LAB=networkpolicy", "LABCTL_ACTION_SUBMISSION="+tc.submission, "LABCTL_ACTION_OPTIONS="+tc.options,
				"LABCTL_ACTION_FAIL="+tc.fail, "LABCTL_ACTION_BINARY=")
			printed, err := cmd.Output()
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tc.code || !strings.Contains(string(printed), tc.printed) {
				t.Errorf("code %d, want %d; it printed:\n%s", code, tc.code, printed)
			}
			told, _ := os.ReadFile(output)
			if !strings.HasPrefix(string(told), tc.outputs) {
				t.Errorf("outputs are %q, want %q", told, tc.outputs)
			}
			if tc.outputs != "" {
				page, err := os.ReadFile(filepath.Join(dir, "labctl-feedback.html"))
				if err != nil || !strings.Contains(string(told), "feedback=") || !strings.HasPrefix(string(page), "<!doctype html>") {
					t.Errorf("there is no feedback: %v", err)
				}
				if text, err := os.ReadFile(summary); err != nil || !strings.HasPrefix(string(text), "# ") {
					t.Errorf("there is no summary: %v", err)
				}
			}
		})
	}
}

// TestDockerfile holds what the image promises: nothing in it but labctl, and no rights for it.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := text[strings.LastIndex(string(text), "\nFROM ")+1:]
	for _, want := range []string{"FROM scratch\n", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/labctl\"]\n", "/labctl /labctl\n", "ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n"} {
		if !strings.Contains(string(last), want) {
			t.Errorf("the last stage has no %q", want)
		}
	}
	if !strings.Contains(string(text), "CGO_ENABLED=0") {
		t.Error("the program is not static")
	}
}
