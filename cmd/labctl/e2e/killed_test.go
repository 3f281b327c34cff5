//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/provision"
)

// killed makes the shared lab, while up is interrupted, run twice, and killed in every phase. The last up has to
// finish whatever the others left.
func (s *suite) killed(t *testing.T) {
	up := func() *process { return s.start(t, "up", "networkpolicy", "--name", s.name, "-o", "json") }

	p := up()
	s.waitPhase(t, p, "cluster")
	time.Sleep(3 * time.Second) // kind is in the middle of it
	p.interrupt(t)
	pressed := time.Now()
	r := p.wait(t, time.Minute)
	took := time.Since(pressed)
	t.Logf("Ctrl-C while kind creates the cluster: ended after %.1f s", took.Seconds())
	if r.code != 130 {
		t.Errorf("after Ctrl-C: exit code %d after %.1f s, want 130\n%s", r.code, took.Seconds(), r.output())
	}
	s.run(t, 0, "list").has(t, s.name+` .*incomplete`)

	for _, kill := range []struct {
		phase string
		says  string        // once it has begun; empty: that does not matter
		after time.Duration // that
	}{
		{"cluster", "", 3 * time.Second},
		{"cilium", "", time.Second},
		{"apps", "", 500 * time.Millisecond},
		{"canary", "with a deny", 300 * time.Millisecond},
		{"baseline", "", 0},
	} {
		p := up()
		s.waitPhase(t, p, kill.phase)
		eventually(t, 3*time.Minute, 10*time.Millisecond, func() error {
			if p.running() && !strings.Contains(p.stderr.String(), kill.says) {
				return fmt.Errorf("up does not say %q:\n%s", kill.says, p.stderr.String())
			}
			return nil
		})
		if kill.phase == "cilium" {
			r := s.run(t, 3, "up", "networkpolicy", "--name", s.name)
			r.has(t, regexp.QuoteMeta(`"`+s.name+`" is in use by labctl up, process `+strconv.Itoa(p.cmd.Process.Pid)))
		}
		time.Sleep(kill.after)
		if !p.kill(t) {
			t.Fatalf("up ended before it could be killed in phase %s:\n%s", kill.phase, p.stderr.String())
		}
		s.run(t, 0, "list").has(t, s.name+` .*incomplete`)
		t.Logf("killed in phase %-8s after %.1f s", kill.phase, time.Since(p.started).Seconds())
	}

	r = up().wait(t, 5*time.Minute)
	if r.code != 0 {
		t.Fatalf("up after the kills: exit code %d\n%s", r.code, r.output())
	}
	t.Logf("the last up took %.1f s:\n%s", r.took.Seconds(), r.stderr)
	var result struct{ Baseline []provision.Connection }
	r.json(t, &result)
	if len(result.Baseline) < 40 {
		t.Errorf("the baseline has %d connections, the lab's objectives use 40", len(result.Baseline))
	}
	for _, c := range result.Baseline {
		if c.Verdict != verdict.Allowed {
			t.Errorf("baseline: %s → %s: %s %s", c.From, c.To, c.Verdict, c.Detail)
		}
	}
	if st := s.status(t, 0); !st.Ready {
		t.Errorf("not ready: %v", st.NotReady)
	}
	s.complete = true
}

// waitPhase waits until an up of the shared lab has begun a phase.
func (s *suite) waitPhase(t *testing.T, p *process, name string) {
	t.Helper()
	eventually(t, 3*time.Minute, 10*time.Millisecond, func() error {
		if !p.running() {
			t.Fatalf("%s ended before it began the phase %s:\n%s%s", p.line, name, p.stdout.String(), p.stderr.String())
		}
		_, err := s.phase(s.name, name, p)
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, p.stderr.String())
		}
		return nil
	})
}
