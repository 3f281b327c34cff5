package labs_test

import (
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

func TestMeets(t *testing.T) {
	t.Parallel()
	found := []verdict.Verdict{verdict.Allowed, verdict.Dropped, verdict.Rejected, verdict.DNSFailed, verdict.AppError, verdict.ProbeError}
	for want, met := range map[verdict.Verdict][]bool{
		verdict.Allowed:   {true, false, false, false, false, false},
		verdict.Dropped:   {false, true, false, false, false, false},
		verdict.Rejected:  {false, false, true, false, false, false},
		verdict.Denied:    {false, true, true, false, false, false},
		verdict.DNSFailed: {false, false, false, true, false, false},
		verdict.AppError:  {false, false, false, false, true, false},
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

// TestOwns: an app's pods are told by the labels that it has, and none are invented for one without any.
func TestOwns(t *testing.T) {
	t.Parallel()
	none := map[string]string(nil)
	for _, c := range []struct {
		name string
		app  labs.App
		pod  string
		has  map[string]string
		want bool
	}{
		{"by labels", labs.App{Name: "web", Workload: "Deployment/web", Labels: map[string]string{"app": "web"}}, "web-5d4f-x", map[string]string{"app": "web", "pod-template-hash": "5d4f"}, true},
		{"others", labs.App{Name: "web", Workload: "Deployment/web", Labels: map[string]string{"app": "web"}}, "web", map[string]string{"app": "api"}, false},
		{"a pod without labels", labs.App{Name: "bare", Workload: "Pod/bare"}, "bare", none, true},
		{"with a name of its own", labs.App{Name: "tool", Workload: "Pod/bare"}, "bare", none, true},
		{"another pod", labs.App{Name: "bare", Workload: "Pod/bare"}, "web", none, false},
		{"with the label that used to be invented", labs.App{Name: "bare", Workload: "Pod/bare"}, "web", map[string]string{"app": "bare"}, false},
		{"a job's", labs.App{Name: "nightly", Workload: "Job/nightly"}, "nightly-x", map[string]string{"batch.kubernetes.io/job-name": "nightly"}, true},
		{"a cron job's", labs.App{Name: "nightly", Workload: "CronJob/nightly"}, "nightly-29-x", map[string]string{"batch.kubernetes.io/job-name": "nightly-29"}, true},
		{"another job's", labs.App{Name: "nightly", Workload: "Job/nightly"}, "nightly-x", none, false},
	} {
		if got := c.app.Owns(c.pod, c.has); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
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
