package kind

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// stopped answers for a stopped cluster of two nodes and a stand-in, the worker with the lower old address. taken
// is the network's list of containers, as JSON.
func stopped(t *testing.T, taken, controlPlaneGets string) func() []string {
	t.Helper()
	dir := t.TempDir()
	old := func(name, addr string) string {
		return fmt.Sprintf(`"cp labctl-shop-%[1]s:/kind/old-ipv4 -") mkdir -p %[3]s/%[1]s; printf %%s %[2]s >%[3]s/%[1]s/old-ipv4; tar -C %[3]s/%[1]s -cf - old-ipv4 ;;
`, name, addr, dir)
	}
	return fakeDocker(t, `"ps -a --filter label=io.x-k8s.kind.cluster=labctl-shop"*) printf 'labctl-shop-control-plane\tExited (130)\nlabctl-shop-worker\tExited (130)\n' ;;
"ps -a --filter label=labctl.stand-in"*) echo labctl-shop-outside ;;
`+old("control-plane", "172.18.0.5")+old("worker", "172.18.0.3")+`
"cp labctl-shop-outside"*) echo "no such file" >&2; exit 1 ;;
"network inspect kind") echo '[{"IPAM": {"Config": [{"Subnet": "fc00::/64"}, {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]}, "Containers": {`+taken+`}}]' ;;
"run -d --rm --network kind --entrypoint sleep"*) echo filler$$ ;;
"start "*|"rm -f filler"*) ;;
"inspect --format "*"labctl-shop-control-plane") echo `+controlPlaneGets+` ;;
"inspect --format "*"labctl-shop-worker") echo 172.18.0.3 ;;`)
}

func TestResume(t *testing.T) {
	const two, four = `"a": {"Name": "other", "IPv4Address": "172.18.0.2/16"}`, `"b": {"Name": "another", "IPv4Address": "172.18.0.4/16"}`
	for _, tc := range []struct {
		name, taken, got string
		fillers          int
		started          string
		want             string
	}{
		{"others have the addresses between", two + "," + four, "172.18.0.5", 0, "worker control-plane outside", ""},
		{"addresses between are free", two, "172.18.0.5", 1, "worker control-plane outside", ""},
		{"somebody has a node's address", two + `,"c": {"Name": "thief", "IPv4Address": "172.18.0.5/16"}`, "172.18.0.6", 0, "worker", "thief now has the address 172.18.0.5, which labctl-shop-control-plane had when it was stopped"},
		{"the engine gives another one", two + "," + four, "172.18.0.9", 0, "worker control-plane", "labctl-shop-control-plane has address 172.18.0.9, but the cluster knows it by 172.18.0.5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Once the worker runs, its address is taken.
			asked := stopped(t, tc.taken, tc.got)
			p := newProvider(t, nil, nil)
			err := p.Resume(context.Background(), shopCluster, func(string) {})
			wantError(t, err, tc.want)
			var started []string
			run, rm := 0, 0
			for _, line := range asked() {
				if name, ok := strings.CutPrefix(line, "start labctl-shop-"); ok {
					started = append(started, name)
				}
				if strings.HasPrefix(line, "run ") {
					run++
				}
				if strings.HasPrefix(line, "rm -f filler") {
					rm += len(strings.Fields(line)) - 2
				}
			}
			if got := strings.Join(started, " "); got != tc.started {
				t.Errorf("started %q, want %q", got, tc.started)
			}
			if run != rm || tc.want == "" && run < tc.fillers {
				t.Errorf("%d fillers, %d removed; want %d\n%s", run, rm, tc.fillers, strings.Join(asked(), "\n"))
			}
		})
	}
}

func TestPause(t *testing.T) {
	asked := fakeDocker(t, `"ps -a --filter label=io.x-k8s.kind.cluster=labctl-shop"*) printf 'labctl-shop-control-plane\tUp 1 second\n' ;;
"ps -a --filter label=labctl.stand-in"*) ;;
"stop labctl-shop-control-plane") ;;`)
	if err := newProvider(t, nil, nil).Pause(context.Background(), shopCluster); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(asked(), "stop labctl-shop-control-plane") {
		t.Errorf("asked %q", asked())
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	space, err := parseAddresses(`[{"IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]},
		"Containers": {"x": {"Name": "a", "IPv4Address": "172.18.0.3/16"}, "y": {"Name": "v6 only", "IPv4Address": ""}}}]`)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"172.18.0.2": 0, "172.18.0.3": 1, "172.18.0.4": 1, "172.18.0.6": 3, "10.0.0.9": 0} {
		if got := space.below(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%d are free below %s, want %d", got, addr, want)
		}
	}
	for _, text := range []string{"", "[]", "oops"} {
		if _, err := parseAddresses(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestMakeNetwork(t *testing.T) {
	for _, tc := range []struct {
		name, answers, env string
		made               bool
	}{
		{"there is none", `"network ls"*) ;; "network inspect bridge"*) echo 1450 ;; "network create"*) ;;`, "", true},
		{"there is one", `"network ls"*) echo 4711 ;;`, "", false},
		{"the user has chosen one", "", "mine", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := fakeDocker(t, tc.answers)
			t.Setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", tc.env)
			newProvider(t, nil, nil).makeNetwork(context.Background())
			want := "network create -d=bridge -o com.docker.network.bridge.enable_ip_masquerade=true -o com.docker.network.driver.mtu=1450 " +
				"--ipv6 --subnet fc00:f853:ccd:e793::/64 --label labctl.network=true kind"
			if got := slices.Contains(asked(), want); got != tc.made {
				t.Errorf("asked %q", asked())
			}
		})
	}
}
