package labs_test

import (
	"testing"
	"time"

	"github.com/labctl/labctl/labs"
)

func TestMeets(t *testing.T) {
	t.Parallel()
	found := []labs.Verdict{labs.Allowed, labs.Dropped, labs.Rejected, labs.DNSFailed, labs.AppError, labs.ProbeError}
	for want, met := range map[labs.Verdict][]bool{
		labs.Allowed:   {true, false, false, false, false, false},
		labs.Dropped:   {false, true, false, false, false, false},
		labs.Rejected:  {false, false, true, false, false, false},
		labs.Denied:    {false, true, true, false, false, false},
		labs.DNSFailed: {false, false, false, true, false, false},
		labs.AppError:  {false, false, false, false, true, false},
	} {
		for i, v := range found {
			if got := v.Meets(want); got != met[i] {
				t.Errorf("%s meets %s: %v, want %v", v, want, got, met[i])
			}
		}
	}
}

func TestNamesOfEnds(t *testing.T) {
	t.Parallel()
	for want, end := range map[string]interface{ String() string }{
		"frontend":              labs.Source{App: "frontend"},
		"external internet":     labs.Source{External: "internet"},
		"node worker":           labs.Source{Node: "worker"},
		"backend:http":          labs.Target{App: "backend", PortName: "http", Port: 80, Via: labs.ViaService},
		"backend:8080 (by IP)":  labs.Target{App: "backend", Port: 8080, Via: labs.ViaIP},
		"backend (ICMP)":        labs.Target{App: "backend", Protocol: "ICMP", Via: labs.ViaIP},
		"external internet:443": labs.Target{External: "internet", Port: 443},
		"node worker:22":        labs.Target{Node: "worker", Port: 22},
		"10.0.0.1:80":           labs.Target{IP: "10.0.0.1", Port: 80},
		"dns kubernetes.io":     labs.Target{DNS: "kubernetes.io", Port: 53},
	} {
		if got := end.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "3d": 72 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute, "0s": 0, "0d": 0,
	} {
		if got, err := labs.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "3", "-1h", "-1d", "1d-2h", "1.5d", "99999999d", "3 d", "12h1d", "soon", "1d1d"} {
		if got, err := labs.ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
