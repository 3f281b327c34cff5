package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/provision"
)

// fakeDocker puts a command "docker" into the PATH that answers as the shell script's cases say, such as
// `"ps -a"*) echo x ;;`. It returns what has been asked so far. What no case answers fails.
func fakeDocker(t *testing.T, cases string) (asked func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "asked")
	script := fmt.Sprintf(`#!/bin/sh
echo "$*" >>%q
case "$*" in
-v) echo "Docker version 99.0.0, build 0" ;;
%s
*) echo "fake docker: no answer to $*" >&2; exit 9 ;;
esac
`, log, cases)
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
	t.Setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", "")
	t.Setenv("DOCKER_CONFIG", dir)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		t.Setenv(name, "")
	}
	return func() []string {
		data, _ := os.ReadFile(log)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		return slices.DeleteFunc(lines, func(l string) bool { return l == "-v" })
	}
}

// wantError holds an error against what it is to say; empty: there is to be none.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatal(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Fatalf("the error is %v; want one with %q", err, want)
	}
}

const daemonDown = `echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2; exit 1`

var shopCluster = provision.Cluster{Name: "labctl-shop"}

func TestNoEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p := newProvider(t, nil, nil)
	_, err := p.Find(context.Background(), shopCluster)
	wantError(t, err, "no container engine was found; install Docker")
	findings := p.Preflight(context.Background(), shopCluster)
	if len(findings) != 1 || findings[0].Severity != provision.Failure || !strings.Contains(findings[0].Fix, "podman") {
		t.Errorf("%+v", findings)
	}
}

// TestWhichEngine: labctl takes the engine that kind takes.
func TestWhichEngine(t *testing.T) {
	banners := map[string]string{"docker": "Docker version 29.0.1, build 0", "nerdctl": "nerdctl version 2.0.0",
		"finch": "finch version v1.4.0", "nerdctl.lima": "nerdctl version 2.0.0", "podman": "podman version 5.0.0"}
	for _, tc := range []struct {
		name, wanted string
		installed    []string
		want, err    string
	}{
		{"Docker before others", "", []string{"docker", "nerdctl", "podman"}, "docker", ""},
		{"nerdctl before podman", "", []string{"nerdctl", "podman"}, "nerdctl", ""},
		{"finch", "", []string{"finch", "podman"}, "finch", ""},
		{"finch by name", "finch", []string{"docker", "finch"}, "finch", ""},
		{"nerdctl.lima by name", "nerdctl.lima", []string{"docker", "nerdctl.lima"}, "nerdctl.lima", ""},
		{"nerdctl.lima unasked", "", []string{"nerdctl.lima"}, "", "no container engine was found"},
		{"a name that kind ignores", "dcoker", []string{"podman"}, "podman", ""},
		{"the wanted one is not there", "nerdctl", []string{"docker"}, "", "nerdctl, which KIND_EXPERIMENTAL_PROVIDER selects, was not found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tc.installed {
				script := "#!/bin/sh\necho " + banners[name] + "\n"
				if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
			t.Setenv("KIND_EXPERIMENTAL_PROVIDER", tc.wanted)
			p := newProvider(t, nil, nil)
			name, err := p.engine.find(context.Background())
			if name != tc.want {
				t.Errorf("found %q", name)
			}
			wantError(t, err, tc.err)
			if _, err := p.kind(context.Background()); (err == nil) != (tc.want != "") {
				t.Errorf("kind's provider: %v", err)
			}
		})
	}
}

// TestEngineIsFoundLater: a context that ended does not mean that there is no engine.
func TestEngineIsFoundLater(t *testing.T) {
	fakeDocker(t, "")
	p := newProvider(t, nil, nil)
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	if _, err := p.engine.find(ctx); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
	if name, err := p.engine.find(context.Background()); name != "docker" || err != nil {
		t.Errorf("found %q, %v", name, err)
	}
}

// TestPodmanBehindDocker: where docker is a link to podman, it is not taken for Docker.
func TestPodmanBehindDocker(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"docker", "podman"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho podman version 5.0.0\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
	if name, err := newProvider(t, nil, nil).engine.find(context.Background()); name != "podman" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		name, ps string
		settings m
		want     provision.Found
		err      string
	}{
		{name: "nothing", ps: "true", want: provision.Found{State: provision.Absent}},
		{name: "running", ps: `printf 'labctl-shop-worker\tUp 5 minutes\nlabctl-shop-control-plane\tUp 5 minutes\n'`,
			want: provision.Found{State: provision.Running, Nodes: []string{"labctl-shop-control-plane", "labctl-shop-worker"}}},
		{name: "one is stopped", ps: `printf 'labctl-shop-control-plane\tUp 5 minutes\nlabctl-shop-worker\tExited (0) 2 minutes ago\n'`,
			want: provision.Found{State: provision.Stopped, Nodes: []string{"labctl-shop-control-plane", "labctl-shop-worker"}, Detail: "stopped: labctl-shop-worker"}},
		{name: "one is frozen", ps: `printf 'labctl-shop-control-plane\tUp 5 minutes (Paused)\nlabctl-shop-worker\tUp 5 minutes\n'`,
			want: provision.Found{State: provision.Stopped, Nodes: []string{"labctl-shop-control-plane", "labctl-shop-worker"}, Detail: "stopped: labctl-shop-control-plane"}},
		{name: "one is gone", ps: `printf 'labctl-shop-control-plane\tUp 5 minutes\n'`,
			want: provision.Found{State: provision.Broken, Nodes: []string{"labctl-shop-control-plane"}, Missing: []string{"labctl-shop-worker"}, Detail: "missing: labctl-shop-worker"}},
		{name: "one is gone and one is stopped", ps: `printf 'labctl-shop-control-plane\tExited (137) 2 minutes ago\n'`,
			want: provision.Found{State: provision.Broken, Nodes: []string{"labctl-shop-control-plane"}, Missing: []string{"labctl-shop-worker"}, Detail: "missing: labctl-shop-worker"}},
		{name: "the load balancer is gone", settings: m{"control_planes": 3, "workers": 0},
			ps: `printf 'labctl-shop-control-plane\tUp 1 second\nlabctl-shop-control-plane2\tUp 1 second\nlabctl-shop-control-plane3\tUp 1 second\n'`,
			want: provision.Found{State: provision.Broken, Nodes: []string{"labctl-shop-control-plane", "labctl-shop-control-plane2", "labctl-shop-control-plane3"},
				Missing: []string{"labctl-shop-external-load-balancer"}, Detail: "missing: labctl-shop-external-load-balancer"}},
		{name: "no daemon", ps: daemonDown, err: "list the nodes of kind cluster labctl-shop: docker does not answer: Cannot connect"},
		{name: "no permission", ps: `echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1`, err: "docker does not answer: permission denied"},
		{name: "something else", ps: `echo "invalid filter" >&2; exit 1`, err: "docker ps: invalid filter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, `"ps -a"*) `+tc.ps+" ;;")
			got, err := newProvider(t, tc.settings, nil).Find(context.Background(), shopCluster)
			wantError(t, err, tc.err)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestPull(t *testing.T) {
	for _, tc := range []struct{ name, inspect, pull, want string }{
		{"is here", "echo sha256:1", "exit 1", ""},
		{"is pulled", `echo "No such image" >&2; exit 1`, "echo sha256:1", ""},
		{"cannot be pulled", `echo "No such image" >&2; exit 1`, `echo "dial tcp: lookup registry: no such host" >&2; exit 1`,
			"mine:1 is not on this machine and cannot be pulled: docker pull: dial tcp: lookup registry: no such host"},
		{"no daemon", daemonDown, "echo must not be asked; exit 0", "docker does not answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, `"image inspect"*) `+tc.inspect+" ;;\n\"pull --quiet mine:1\") "+tc.pull+" ;;")
			wantError(t, newProvider(t, nil, nil).pull(context.Background(), "mine:1"), tc.want)
		})
	}
}

// TestCreateWithoutImage: nothing is begun without the nodes' image.
func TestCreateWithoutImage(t *testing.T) {
	asked := fakeDocker(t, `"image inspect"*) echo "No such image" >&2; exit 1 ;;
"pull"*) echo "toomanyrequests: You have reached your pull rate limit" >&2; exit 1 ;;`)
	err := newProvider(t, nil, nil).Create(context.Background(), shopCluster, provision.CreateProgress{Milestone: func(provision.Milestone) { t.Error("a milestone was reached") }})
	wantError(t, err, "is not on this machine and cannot be pulled: docker pull: toomanyrequests")
	wantError(t, err, "node image: ")
	for _, line := range asked() {
		if strings.HasPrefix(line, "network") || strings.HasPrefix(line, "run") {
			t.Errorf("docker was asked to %s", line)
		}
	}
}

func TestEngineEndsWithItsContext(t *testing.T) {
	fakeDocker(t, `"ps -a"*) exec sleep 60 ;;`)
	cause := errors.New("the user pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(300*time.Millisecond, func() { cancel(cause) })
	began := time.Now()
	_, err := newProvider(t, nil, nil).Find(ctx, shopCluster)
	if !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDelete(t *testing.T) {
	defer func(d time.Duration) { removeTimeout = d }(removeTimeout)
	state := func(t *testing.T) string {
		file := filepath.Join(t.TempDir(), "there")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ps := func(file string) string {
		return fmt.Sprintf(`"ps -a --filter label=io.x-k8s.kind.cluster=labctl-shop"*) test -e %[1]s && printf 'labctl-shop-control-plane\tUp 1 second\n'; true ;;
"ps -a --filter label=labctl.stand-in=labctl-shop"*) test -e %[1]s && echo labctl-shop-outside; true ;;
`, file)
	}
	for _, tc := range []struct {
		name, rm, network, want string
		removed                 bool // the network
		timeout                 time.Duration
	}{
		{"all, and the network that labctl made", "rm -f $FILE", `"network ls"*) echo 4711 ;; "ps -aq"*) ;; "network rm 4711") ;;`, "", true, time.Minute},
		{"not the network of others", "rm -f $FILE", `"network ls"*) ;;`, "", false, time.Minute},
		{"not a network that a stopped container is on", "rm -f $FILE", `"network ls"*) echo 4711 ;; "ps -aq --filter network=4711") echo c0ffee ;;`, "", false, time.Minute},
		{"nodes that stay", "exit 1", "", "context deadline exceeded", false, time.Minute},
		{"nodes that can be removed at last", "test -e $FILE.again && rm -f $FILE; touch $FILE.again", `"network ls"*) ;;`, "", false, time.Minute},
		{"nodes whose removal takes all the time", "sleep 0.2; rm -f $FILE", `"network ls"*) ;;`, "", false, 100 * time.Millisecond},
		{"nodes that are never removed", "echo busy >&2; exit 1", "", "delete the nodes of kind cluster labctl-shop: docker rm: busy", false, 100 * time.Millisecond},
		{"nodes of which nothing is said", "true", "", "containers still exist", false, 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := state(t)
			asked := fakeDocker(t, ps(file)+`"rm -f -v labctl-shop-control-plane labctl-shop-outside") `+strings.ReplaceAll(tc.rm, "$FILE", file)+" ;;\n"+tc.network)
			patience := time.Minute
			if removeTimeout = tc.timeout; tc.want == "context deadline exceeded" {
				patience = time.Second
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			wantError(t, newProvider(t, nil, nil).Delete(ctx, shopCluster), tc.want)
			if got := slices.Contains(asked(), "network rm 4711"); got != tc.removed {
				t.Errorf("network removed: %v\n%s", got, strings.Join(asked(), "\n"))
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	info := func(json string) string {
		return `"info"*) echo '` + json + "' ;;\n\"ps -a\"*) ;;\n"
	}
	for _, tc := range []struct {
		name, answers string
		settings      m
		want          map[string]provision.Severity
	}{
		{"all is well", info(`{"ServerVersion": "99", "MemTotal": 8589934592, "NCPU": 4, "KernelVersion": "6.1.0", "CgroupVersion": "2"}`), nil,
			map[string]provision.Severity{"container engine": provision.OK, "engine's machine": provision.OK}},
		{"little memory, old kernel", info(`{"ServerVersion": "99", "MemTotal": 2147483648, "NCPU": 1, "KernelVersion": "5.4.0-generic", "CgroupVersion": "1"}`), nil,
			map[string]provision.Severity{"container engine": provision.OK, "engine's machine": provision.Warning, "kernel": provision.Failure, "cgroups": provision.OK}},
		{"rootless", info(`{"ServerVersion": "29.0.1", "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}`), nil,
			map[string]provision.Severity{"container engine": provision.OK, "rootless engine": provision.Failure}},
		{"the engine has a proxy", info(`{"ServerVersion": "29.0.1", "HttpsProxy": "http://me:secret@proxy.school:3128"}`), nil,
			map[string]provision.Severity{"container engine": provision.OK, "proxy": provision.Warning}},
		{"a network without IPv6", info(`{"ServerVersion": "29.0.1"}`) + `"network inspect"*) echo false ;;`, m{"ip_family": "dual"},
			map[string]provision.Severity{"container engine": provision.OK, "IPv6": provision.Failure}},
		{"a network with IPv6", info(`{"ServerVersion": "29.0.1"}`) + `"network inspect"*) echo true ;;`, m{"ip_family": "dual"},
			map[string]provision.Severity{"container engine": provision.OK}},
		{"no IPv6, and none needed", info(`{"ServerVersion": "29.0.1"}`) + `"network inspect"*) echo false ;;`, nil,
			map[string]provision.Severity{"container engine": provision.OK}},
		{"the daemon is down", `"info"*) ` + daemonDown + " ;;\n", nil, map[string]provision.Severity{"container engine": provision.Failure}},
		{"the client answers alone", info(`{"ServerVersion": ""}`), nil, map[string]provision.Severity{"container engine": provision.Failure}},
		{"no JSON", `"info"*) echo oops ;;`, nil, map[string]provision.Severity{"container engine": provision.Failure}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, tc.answers)
			got := map[string]provision.Severity{}
			for _, f := range newProvider(t, tc.settings, nil).Preflight(context.Background(), shopCluster) {
				got[f.Check] = f.Severity
				if f.Severity != provision.OK && f.Fix == "" {
					t.Errorf("no fix: %+v", f)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestPodman: podman reports its machine in a format of its own.
func TestPodman(t *testing.T) {
	dir := t.TempDir()
	script := `#!/bin/sh
case "$*" in
-v) echo podman version 5.0.0 ;;
info*) echo '{"host": {"memTotal": 2147483648, "cpus": 2, "kernel": "5.4.0", "cgroupVersion": "v2", "security": {"rootless": true}}, "store": {"graphRoot": "/nowhere"}, "version": {"Version": "5.0.0"}}' ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "podman"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	fakeDocker(t, "")
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
	got := map[string]provision.Severity{}
	for _, f := range newProvider(t, nil, nil).Preflight(context.Background(), shopCluster) {
		got[f.Check] = f.Severity
	}
	want := map[string]provision.Severity{"container engine": provision.OK, "engine's machine": provision.Warning,
		"kernel": provision.Failure, "rootless engine": provision.Failure}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestProxy(t *testing.T) {
	site := provision.DefaultSettings()
	site.Mirrors = map[string]string{"docker.io": "https://mirror.school:5000"}
	const except = "localhost,127.0.0.1,.svc,.cluster.local,10.244.0.0/16,10.96.0.0/16,mirror.school"
	for _, tc := range []struct {
		name, env   string
		engine      engineInfo
		message     string // empty: no finding
		fix, secret string
	}{
		{name: "none"},
		{name: "of the environment", env: "http://proxy.school:3128"},
		{name: "of both", env: "http://proxy.school:3128", engine: engineInfo{HTTPSProxy: "http://proxy.school:3128"}},
		{name: "of the engine alone", engine: engineInfo{HTTPSProxy: "http://me:secret@proxy.school:3128", NoProxy: "localhost,.school"},
			message: "the engine pulls images through the proxy http://***@proxy.school:3128, the nodes would not",
			fix:     "export HTTP_PROXY=http://***@proxy.school:3128 HTTPS_PROXY=http://***@proxy.school:3128 NO_PROXY=" + except + ",.school", secret: "secret"},
		{name: "of this machine alone", env: "127.0.0.1:3128",
			message: "the nodes cannot reach the proxy 127.0.0.1:3128, which is a loopback address", fix: "NO_PROXY=" + except},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, "")
			t.Setenv("HTTPS_PROXY", tc.env)
			got := newProvider(t, nil, site).checkProxy(&tc.engine)
			if tc.message == "" {
				if len(got) > 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Message != tc.message || !strings.Contains(got[0].Fix, tc.fix) ||
				tc.secret != "" && strings.Contains(fmt.Sprint(got), tc.secret) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestIPv6Disabled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value string // empty: there is no file
		want  bool
	}{"enabled": {"0\n", false}, "disabled": {"1\n", true}, "not in the kernel": {"", true}} {
		proc := t.TempDir()
		dir := filepath.Join(proc, "sys/net/ipv6/conf/all")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if tc.value != "" {
			if err := os.WriteFile(filepath.Join(dir, "disable_ipv6"), []byte(tc.value), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := ipv6Disabled(proc); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestFindStarted: when the nodes were started tells that the machine was restarted.
func TestFindStarted(t *testing.T) {
	fakeDocker(t, `"ps -a"*) printf 'labctl-shop-worker\tUp 5 minutes\nlabctl-shop-control-plane\tUp 5 minutes\n' ;;
"inspect --format"*) printf '/labctl-shop-control-plane "2026-01-01T12:00:00.25Z"\n/labctl-shop-worker "2026-01-01T13:00:01+01:00"\n' ;;`)
	got, err := newProvider(t, nil, nil).Find(context.Background(), shopCluster)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	if len(got.Started) != 2 || !got.Started["labctl-shop-control-plane"].Equal(at.Add(250*time.Millisecond)) ||
		!got.Started["labctl-shop-worker"].Equal(at.Add(time.Second)) {
		t.Errorf("started %v", got.Started)
	}
}
