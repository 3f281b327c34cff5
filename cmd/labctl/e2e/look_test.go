//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/labctl/labctl/provision"
)

// look runs every command that only looks.
func (s *suite) look(t *testing.T) {
	s.lab(t)
	t.Run("status", func(t *testing.T) {
		s.run(t, 0, "status", s.name, "--wait").has(t, `Everything is ready\.`)
		s.run(t, 0, "status", s.name).has(t,
			`✓ node +`+s.node("control-plane")+` +Kubernetes v1\.`, `✓ node +`+s.node("worker"),
			`✓ cilium agents +2 of 2 ready`, `✓ cilium operator +1 of 1 ready`, `✓ hubble relay +1 of 1 ready`,
			`✓ hubble +2 nodes connected`, `✓ app +default/backend +1 of 1 ready`, `✓ app +batch/agent`,
			`Policies in force: none`, `Everything is ready\.`)
		st := s.status(t, 0)
		if !st.Ready || len(st.NotReady) > 0 || len(st.Nodes) != 2 || len(st.Apps) != 6 || len(st.Policies) > 0 || !st.Hubble.Serving {
			t.Errorf("status: %+v", st)
		}
	})
	t.Run("list", func(t *testing.T) {
		s.run(t, 0, "list").has(t, `(?m)^`+s.name+` +networkpolicy +kind labctl-`+s.name+` +running +20`)
		var list struct{ Instances []provision.Listed }
		s.run(t, 0, "list", "-o", "json").json(t, &list)
		if len(list.Instances) != 1 || list.Instances[0].State != provision.Running || !list.Instances[0].Complete {
			t.Errorf("list: %+v", list)
		}
	})
	t.Run("kubeconfig", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(s.run(t, 0, "kubeconfig", s.name).stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if nodes := command(t, "kubectl", "--kubeconfig", file, "get", "nodes", "-o", "name"); strings.Count(nodes, "node/") != 2 {
			t.Errorf("nodes: %s", nodes)
		}
	})
	t.Run("env", func(t *testing.T) {
		script := `eval "$1" && kubectl get nodes -o name`
		nodes := command(t, "sh", "-c", script, "sh", s.run(t, 0, "env", s.name).stdout)
		if strings.Count(nodes, "node/") != 2 {
			t.Errorf("nodes: %s", nodes)
		}
	})
	t.Run("config", func(t *testing.T) {
		var config struct{ Settings []provision.Setting }
		s.with("LABCTL_TIMEOUT_APPS=7m").run(t, 0, "config", "-o", "json").json(t, &config)
		if !slices.ContainsFunc(config.Settings, func(c provision.Setting) bool { return c.Name == "timeout_apps" && c.Value == "7m0s" }) {
			t.Errorf("config: %+v", config)
		}
		s.run(t, 0, "config").has(t, `(?m)^# .* \(\$LABCTL_NODE_IMAGE\)\nnode_image = ".*"$`)
	})
	t.Run("settings with spaces", s.spaces)
	t.Run("doctor", func(t *testing.T) {
		s.run(t, 0, "doctor", "networkpolicy").has(t, `✓ container engine`, `memory`, `state directory`)
		var doctor struct {
			OK       bool
			Findings []provision.Finding
		}
		s.run(t, 0, "doctor", "-o", "json").json(t, &doctor)
		if !doctor.OK || len(doctor.Findings) < 4 {
			t.Errorf("doctor: %+v", doctor)
		}
	})
	t.Run("logs", s.logs)
	t.Run("observe", s.observe)
}

// spaces has the shared lab's values in files with spaces in their paths, named by the environment and by a file that
// labctl config has written: for the lab, nothing has changed.
func (s *suite) spaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Application Support")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var quoted []string
	for _, path := range strings.Fields(os.Getenv("LABCTL_CILIUM_VALUES")) {
		values, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		moved := filepath.Join(dir, "my "+filepath.Base(path))
		if err := os.WriteFile(moved, values, 0o600); err != nil {
			t.Fatal(err)
		}
		quoted = append(quoted, `"`+moved+`"`)
	}
	by := s.with("LABCTL_CILIUM_VALUES=" + strings.Join(quoted, " "))
	by.run(t, 0, "plan", "networkpolicy", "--name", s.name).has(t, `(?m)^Nothing to do\.$`)
	file := filepath.Join(dir, "config.hcl")
	if err := os.WriteFile(file, []byte(by.run(t, 0, "config").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	s.with("LABCTL_CILIUM_VALUES=").run(t, 0, "plan", "networkpolicy", "--name", s.name, "--config", file).
		has(t, `(?m)^Nothing to do\.$`)
}

// logs looks at what is in a support bundle, and what must not be.
func (s *suite) logs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logs.tar.gz")
	r := s.run(t, 0, "logs", s.name, "--to", file)
	t.Logf("logs took %.1f s", r.took.Seconds())
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	secret := regexp.MustCompile(`client-key-data|PRIVATE KEY|(?m)^[ -]*kind: Secret$`)
	for in := tar.NewReader(zip); ; {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if found := secret.Find(content); found != nil {
			t.Errorf("%s in the bundle holds a secret: %s", head.Name, found)
		}
		if filepath.Base(head.Name) == "not-collected.json" {
			t.Errorf("not collected: %s", content)
		}
	}
	for _, want := range []string{
		`/state\.yaml$`, `/settings\.yaml$`, `/kubernetes/(nodes|pods|events|services|namespaces|policies)\.yaml$`,
		`/cilium/(status|config)\.yaml$`, `/logs/kube-system/cilium-.*/cilium-agent\.log$`, `/logs/default/backend-`,
		`/nodes/` + s.node("worker") + `/`,
	} {
		if !slices.ContainsFunc(names, regexp.MustCompile(want).MatchString) {
			t.Errorf("the bundle has no file %s:\n%s", want, strings.Join(names, "\n"))
		}
	}
	if slices.ContainsFunc(names, regexp.MustCompile(`kubeconfig`).MatchString) {
		t.Error("the bundle has a kubeconfig")
	}
}

// observe denies a connection and looks for it in the flows. A flow takes its time: an agent shows its newest one
// only when the next has come.
func (s *suite) observe(t *testing.T) {
	follow := s.start(t, "observe", "--instance", s.name, "--follow", "-o", "json", "--from", "frontend", "--to", "backend")
	s.kubectl(t, "apply", "-f", s.solution("02-backend-ingress-deny"))
	defer s.run(t, 0, "reset", s.name)
	s.try(t, "default/frontend", "http://backend", timesOut)

	observe := func(args ...string) *result {
		return s.run(t, 0, append([]string{"observe", "--instance", s.name, "--verdict", "dropped"}, args...)...)
	}
	s.shown(t, func() error {
		r := observe("--from", "frontend", "--to", "backend", "--since", "1m", "-o", "json")
		denied := 0
		for _, flow := range flowsOf(t, r) {
			// What dropped it is not asked for: a packet may get lost in other ways while a pod starts.
			if flow.GetVerdict() != flowpb.Verdict_DROPPED || !strings.HasPrefix(flow.GetSource().GetPodName(), "frontend-") || !strings.HasPrefix(flow.GetDestination().GetPodName(), "backend-") {
				t.Errorf("%s shows the flow %v", r.line, flow)
			}
			if flow.GetDropReasonDesc() == flowpb.DropReason_POLICY_DENIED && flow.GetL4().GetTCP().GetDestinationPort() == 8080 {
				denied++
			}
		}
		if denied == 0 {
			return fmt.Errorf("%s shows no flow to port 8080 that a policy denied:\n%s", r.line, r.output())
		}
		return nil
	})
	s.shown(t, func() error {
		r := observe("--app", "backend")
		if regexp.MustCompile(`default/frontend.* → .*default/backend.*:8080`).MatchString(r.stdout) {
			return nil
		}
		return fmt.Errorf("%s does not show the drop:\n%s", r.line, r.output())
	})
	for _, flow := range flowsOf(t, observe("--from", "backend", "--to", "frontend", "-o", "json")) {
		if !strings.HasPrefix(flow.GetSource().GetPodName(), "backend-") {
			t.Errorf("a flow of others: %v", flow)
		}
	}
	s.shown(t, func() error {
		if strings.Contains(follow.stdout.String(), `"DROPPED"`) {
			return nil
		}
		return fmt.Errorf("%s shows no drop: %s%s", follow.line, follow.stdout.String(), follow.stderr.String())
	})
	follow.interrupt(t)
	if r := follow.wait(t, 30*time.Second); r.code != 0 {
		t.Errorf("observe --follow after Ctrl-C, its normal end: exit code %d\n%s", r.code, r.stderr)
	}
}

// shown tries the denied connection until the flows show what they should.
func (s *suite) shown(t *testing.T, shows func() error) {
	t.Helper()
	eventually(t, 30*time.Second, 0, func() error {
		err := shows()
		if err != nil {
			t.Logf("%.200s; once more", err)
			s.curl("default/frontend", "http://backend")
		}
		return err
	})
}

// flowsOf reads what observe -o json printed.
func flowsOf(t *testing.T, r *result) (flows []*flowpb.Flow) {
	t.Helper()
	for line := range strings.Lines(r.stdout) {
		res := new(observerpb.GetFlowsResponse)
		if err := json.Unmarshal([]byte(line), res); err != nil {
			t.Fatalf("%s: %v: %s", r.line, err, line)
		}
		if res.GetFlow() != nil {
			flows = append(flows, res.GetFlow())
		}
	}
	return flows
}

// solution is the folder of a task's reference solution.
func (s *suite) solution(task string) string {
	return filepath.Join("..", "..", "..", "labs", "networkpolicy", "samples", "solution", task)
}

// How a connection that a student tries with curl ends.
const (
	works           = "works"
	timesOut        = "times out"
	nameTimesOut    = "the look-up of the name times out"
	endsOtherwise   = "ends otherwise" // nothing should
	attemptTime     = "1"              // seconds
	untilPolicyActs = 30 * time.Second // a policy or label may take a moment, longer on a busy machine
)

// try connects from an app (namespace/app) until it ends as it should.
func (s *suite) try(t *testing.T, from, url, want string) {
	t.Helper()
	var got, words string
	for start := time.Now(); time.Since(start) < untilPolicyActs; {
		if got, words = s.curl(from, url); got == want {
			return
		}
	}
	t.Errorf("%s → %s %s, want: %s\n%s", from, url, got, want, words)
}

// curl connects once, as the lab's instructions tell students to.
func (s *suite) curl(from, url string) (outcome, words string) {
	namespace, app, _ := strings.Cut(from, "/")
	// The stand-in for the internet has a certificate of its own making.
	out, err := exec.Command("kubectl", "--kubeconfig", s.kubeconfig(), "exec", "-n", namespace, "deploy/"+app, "--",
		"curl", "-sS", "-k", "-o", "/dev/null", "--connect-timeout", attemptTime, "-m", "5", url).CombinedOutput()
	words = string(out)
	switch {
	case err == nil:
		return works, words
	case !strings.Contains(words, "exit code 28"):
		return endsOtherwise, words
	case strings.Contains(words, "Resolving timed out"):
		return nameTimesOut, words
	}
	return timesOut, words
}
