package provision

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/labstest"
)

// connectionsOf lists the connections by source, as text.
func connectionsOf(lab *labs.Lab) []string {
	var out []string
	all := baselineConnections(lab)
	for _, app := range slices.Sorted(maps.Keys(all)) {
		for _, w := range all[app] {
			out = append(out, fmt.Sprintf("%s→%s", w.from.Name, w.to.String()))
		}
	}
	return out
}

func TestWishes(t *testing.T) {
	t.Parallel()
	app := func(name string) labs.Source { return labs.Source{App: name} }
	web := labs.Target{App: "web", Port: 80, Via: labs.ViaService, Protocol: "TCP"}
	byIP := labs.Target{App: "web", Port: 8080, Via: labs.ViaIP, Protocol: "TCP"}
	expect := func(to labs.Target, from ...labs.Source) labs.Objective {
		return labs.Objective{Checks: []labs.Check{&labs.Expectation{Verdict: verdict.Dropped, From: from, To: []labs.Target{to}}}}
	}
	apps := []labs.App{{Name: "web"}, {Name: "client"}}
	for _, tc := range []struct {
		name       string
		objectives []labs.Objective
		want       []string
	}{
		{"none", nil, nil},
		{"an expectation", []labs.Objective{expect(web, app("client"))}, []string{"client→" + web.String()}},
		{"the same connection once, whatever is expected of it", []labs.Objective{expect(web, app("client")), expect(web, app("client"), app("web"))},
			[]string{"client→" + web.String(), "web→" + web.String()}},
		{"by address is another one", []labs.Objective{expect(web, app("client")), expect(byIP, app("client"))},
			[]string{"client→" + web.String(), "client→" + byIP.String()}},
		{"a truth table has all its cells", []labs.Objective{{Checks: []labs.Check{&labs.Matrix{From: []labs.Source{app("client"), app("web")}, To: []labs.Target{web, byIP}}}}},
			[]string{"client→" + web.String(), "client→" + byIP.String(), "web→" + web.String(), "web→" + byIP.String()}},
		{"nothing runs in an external or on a node", []labs.Objective{expect(web, labs.Source{External: "internet"}, labs.Source{Node: "n"})}, nil},
		{"externals and names are targets, nodes are not", []labs.Objective{
			expect(labs.Target{External: "internet", Port: 443}, app("client")), expect(labs.Target{DNS: "kubernetes.io"}, app("client")), expect(labs.Target{Node: "n"}, app("client")),
		}, []string{"client→" + labs.Target{External: "internet", Port: 443}.String(), "client→" + labs.Target{DNS: "kubernetes.io"}.String()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lab := labstest.Complete(&labs.Lab{Apps: apps, Tasks: []labs.Task{{Name: "one", Objectives: tc.objectives}, {Name: "two", Objectives: tc.objectives}}})
			if got := connectionsOf(lab); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestKey: what an answer looks like is not what makes a connection another one; where it goes is.
func TestKey(t *testing.T) {
	t.Parallel()
	base := labs.Target{App: "web", Port: 80, Protocol: "TCP", Via: labs.ViaService}
	same := base
	same.PortName, same.HTTP = "http", &labs.HTTP{Path: "/x"}
	if key(base) != key(same) {
		t.Error("a port's name makes another connection")
	}
	for name, edit := range map[string]func(*labs.Target){
		"port": func(t *labs.Target) { t.Port = 81 }, "protocol": func(t *labs.Target) { t.Protocol = "UDP" },
		"via": func(t *labs.Target) { t.Via = labs.ViaIP }, "app": func(t *labs.Target) { t.App = "db" },
	} {
		other := base
		edit(&other)
		if key(base) == key(other) {
			t.Errorf("another %s is the same connection", name)
		}
	}
}

const corefile = `.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf
}
`

func TestWithHosts(t *testing.T) {
	t.Parallel()
	internet := labs.External{Name: "internet", Host: "kubernetes.io", Addrs: []string{"192.0.2.10", "192.0.2.11"}}
	other := labs.External{Name: "other", Host: "example.org", Addrs: []string{"192.0.2.20"}}
	cidr := labs.External{Name: "range", CIDR: "198.51.100.0/24", Addrs: []string{"198.51.100.1"}}
	with := withHosts(corefile, []labs.External{internet, cidr})
	want := `.:53 {
    # labctl: stand-ins
    hosts {
       192.0.2.10 kubernetes.io
       192.0.2.11 kubernetes.io
       fallthrough
    }
    # labctl: end
    errors
`
	if !strings.HasPrefix(with, want) || !strings.HasSuffix(with, strings.TrimPrefix(corefile, ".:53 {\n")) {
		t.Errorf("got\n%s", with)
	}
	several := labs.External{Name: "several", Host: "a.example", MoreHosts: []string{"any.b.example"}, Addrs: []string{"192.0.2.30", "192.0.2.31"}}
	if all := withHosts(corefile, []labs.External{several}); !strings.Contains(all, `    hosts {
       192.0.2.30 a.example
       192.0.2.30 any.b.example
       192.0.2.31 a.example
       192.0.2.31 any.b.example
`) {
		t.Errorf("several names and addresses: got\n%s", all)
	}
	if again := withHosts(with, []labs.External{internet, cidr}); again != with {
		t.Errorf("a second time changes it:\n%s", again)
	}
	if replaced := withHosts(with, []labs.External{other}); strings.Contains(replaced, "kubernetes.io\n") || !strings.Contains(replaced, "192.0.2.20 example.org") {
		t.Errorf("got\n%s", replaced)
	}
	// Taken out again, the file is as it was, byte for byte.
	for name, out := range map[string]string{
		"taken out": withHosts(with, nil), "never put in": withHosts(corefile, nil), "no host to name": withHosts(corefile, []labs.External{cidr}),
	} {
		if out != corefile {
			t.Errorf("%s: got\n%s", name, out)
		}
	}
	for _, strange := range []string{"", "example.org:53 {\n}\n", hostsBegin + "\n.:53 {\n}\n"} {
		if got := withHosts(strange, nil); got != strange {
			t.Errorf("%q became %q", strange, got)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	got := endpoints([]labs.External{
		{Host: "kubernetes.io", Addrs: []string{"192.0.2.10", "192.0.2.11"}, Port: 443, Protocol: "TCP"},
		{Host: "dns.example", Addrs: []string{"192.0.2.53"}, Port: 53, Protocol: "UDP"},
	})
	want := []Endpoint{{"192.0.2.10", 443, "TCP"}, {"192.0.2.11", 443, "TCP"}, {"192.0.2.53", 53, "UDP"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}
