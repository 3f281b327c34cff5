package kind

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/labctl/labctl/provision"
)

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, tc := range []struct {
		name     string
		ps       string
		settings m
		want     string // setting that is complained about; empty: none
	}{
		{"the API's", "", m{"api_port": port}, "api_port"},
		{"a mapping", "", m{"port_mappings": []m{{"container_port": 80, "host_port": port, "listen_address": "127.0.0.1"}}}, "port_mapping"},
		{"a mapping of UDP", "", m{"port_mappings": []m{{"container_port": 80, "host_port": port, "listen_address": "127.0.0.1", "protocol": "UDP"}}}, ""},
		{"by the cluster itself", `printf 'labctl-shop-control-plane\tUp 1 second\n'`, m{"api_port": port}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, `"info"*) echo '{"ServerVersion": "99"}' ;;
"ps -a"*) `+tc.ps+" ;;")
			got := ""
			for _, f := range newProvider(t, tc.settings, nil).Preflight(context.Background(), shopCluster) {
				if f.Severity == provision.Failure {
					got += f.Message
				}
			}
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want one about %q", got, tc.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "5.10": {5, 10}, "": {}, "linux": {}} {
		major, minor, ok := version(in)
		if major != want[0] || minor != want[1] || ok != (want != [2]int{}) {
			t.Errorf("%q: %d.%d %v", in, major, minor, ok)
		}
	}
}
