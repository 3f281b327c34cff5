package student

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// TestLatestDrops feeds drops as Hubble tells them.
func TestLatestDrops(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	drop := func(pod string, after time.Duration) cli.Drop {
		return cli.Drop{Connection: pod + " to 10.0.0.2:80", Time: at.Add(after), Text: "default/" + pod + " was dropped"}
	}
	var l latestDrops
	for _, tc := range []struct {
		name  string
		drop  cli.Drop
		own   bool
		shown bool
	}{
		{"a drop", drop("a", 0), false, true},
		{"its client tries again", drop("a", time.Second), false, false},
		{"and again", drop("a", 4*time.Second), false, false},
		{"another client", drop("b", 4*time.Second), false, true},
		{"the first one later", drop("a", 20*time.Second), false, true},
		{"labctl's own probe", drop("c", 21*time.Second), true, false},
	} {
		l.probing(tc.own)
		if got := l.add(tc.drop); got != tc.shown {
			t.Errorf("%s: shown %v, want %v", tc.name, got, tc.shown)
		}
	}
	if fresh := l.fresh(); len(fresh) != 3 || !strings.Contains(fresh[1], "default/b") {
		t.Errorf("fresh drops: %q", fresh)
	}
	if again := l.fresh(); len(again) != 0 {
		t.Errorf("told twice: %q", again)
	}
	l.probing(false)
	for i := range 2 * keptDrops {
		l.add(drop(fmt.Sprint("d", i), time.Minute))
	}
	if list := l.list(); len(list) != keptDrops || !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, fmt.Sprintf("d%d", 2*keptDrops-1)) }) {
		t.Errorf("kept: %q", list)
	}
}
