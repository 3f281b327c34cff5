//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// engines runs the tests of package grade/live on the shared lab's cluster: the engines agree on a few random sets of
// policies (make agreement takes more), pods without a shell can be probed from, and every
// protocol can be probed, and grading again and again (make bench-live: 100 times) leaves nothing behind.
func (s *suite) engines(t *testing.T) {
	s.lab(t)
	cmd := exec.Command("go", "test", "-tags", "e2e", "-count=1", "-v", "-timeout", "8m", "-run", "TestAgreement|TestProbeMethods|TestProtocols|TestSteady", "github.com/labctl/labctl/grade/live")
	cmd.Env = append(os.Environ(), "LABCTL_E2E_KUBECONFIG="+s.kubeconfig(), "LABCTL_STEADY=6")
	r := start(t, cmd).wait(t, 10*time.Minute)
	t.Logf("%s", r.stdout)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s", r.line, r.code, r.stderr)
	}
}
