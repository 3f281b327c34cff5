package kind

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/labctl/labctl/provision"
)

// Preflight implements provision.Provider.
func (p *Provider) Preflight(ctx context.Context, c provision.Cluster) []provision.Finding {
	name, err := p.engine.find(ctx)
	if err != nil {
		message, fix, _ := strings.Cut(err.Error(), "; ")
		return []provision.Finding{{
			Check: "container engine", Severity: provision.Failure, Message: message, Fix: fix,
		}}
	}
	info, err := p.info(ctx, name)
	if err != nil {
		return []provision.Finding{{
			Check: "container engine", Severity: provision.Failure, Message: err.Error(),
			Fix: fmt.Sprintf("start it (Docker Desktop, or: sudo systemctl start %s), and let your user use it", name),
		}}
	}
	findings := []provision.Finding{{
		Check: "container engine", Severity: provision.OK, Message: name + " " + info.ServerVersion,
	}}
	findings = append(findings, info.findings()...)
	findings = append(findings, p.checkIPv6(ctx)...)
	findings = append(findings, p.checkProxy(info)...)
	found, err := p.Find(ctx, c)
	if err != nil || found.State != provision.Absent {
		return findings // the cluster itself uses the ports
	}
	if p.settings.APIPort != 0 {
		findings = append(findings, portFree("127.0.0.1", p.settings.APIPort, "api_port"))
	}
	for _, m := range p.settings.PortMappings {
		if m.Protocol == "TCP" {
			findings = append(findings, portFree(m.ListenAddress, m.HostPort, "port_mapping"))
		}
	}
	return findings
}

// portFree checks that a port of this machine is free.
func portFree(addr string, port int, setting string) provision.Finding {
	f := provision.Finding{Check: "port " + strconv.Itoa(port), Severity: provision.OK, Message: "free"}
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		f.Severity = provision.Failure
		f.Message = fmt.Sprintf("the lab's cluster block needs it (%s), but it cannot be used: %v", setting, err)
		f.Fix = "stop the process that uses it, or set another port in the lab"
		return f
	}
	l.Close()
	return f
}

// engineInfo is what docker and nerdctl report. podman reports the same in another format.
type engineInfo struct {
	ServerVersion   string
	MemTotal        uint64
	NCPU            int
	KernelVersion   string
	CgroupVersion   string
	DockerRootDir   string
	Architecture    string
	DriverStatus    [][2]string
	SecurityOptions []string
	HTTPProxy       string `json:"HttpProxy"`
	HTTPSProxy      string `json:"HttpsProxy"`
	NoProxy         string
}

// podmanInfo is what podman reports.
type podmanInfo struct {
	Host struct {
		MemTotal      uint64 `json:"memTotal"`
		CPUs          int    `json:"cpus"`
		Kernel        string `json:"kernel"`
		CgroupVersion string `json:"cgroupVersion"`
		Security      struct {
			Rootless bool `json:"rootless"`
		} `json:"security"`
	} `json:"host"`
	Store struct {
		GraphRoot string `json:"graphRoot"`
	} `json:"store"`
	Version struct {
		Version string
	} `json:"version"`
}

func (i *podmanInfo) common() engineInfo {
	info := engineInfo{
		ServerVersion: i.Version.Version, MemTotal: i.Host.MemTotal, NCPU: i.Host.CPUs, KernelVersion: i.Host.Kernel,
		CgroupVersion: strings.TrimPrefix(i.Host.CgroupVersion, "v"), DockerRootDir: i.Store.GraphRoot,
	}
	if i.Host.Security.Rootless {
		info.SecurityOptions = []string{rootless}
	}
	return info
}

// rootless is how an engine says that it runs without root.
const rootless = "name=rootless"

func (p *Provider) info(ctx context.Context, name string) (*engineInfo, error) {
	text, err := p.engine.run(ctx, "info", "--format", "{{json .}}")
	if err != nil {
		return nil, err
	}
	var info engineInfo
	if name == "podman" {
		var podman podmanInfo
		if err := json.Unmarshal([]byte(text), &podman); err != nil {
			return nil, fmt.Errorf("podman info: %w", err)
		}
		info = podman.common()
	} else if err := json.Unmarshal([]byte(text), &info); err != nil {
		return nil, fmt.Errorf("%s info: %w", name, err)
	}
	if info.ServerVersion == "" {
		// The command succeeds even if the engine does not answer.
		return nil, fmt.Errorf("%s does not answer", name)
	}
	return &info, nil
}

// needMemory is the memory that the engine's machine needs for two nodes.
const needMemory = 4 << 30

func (i *engineInfo) findings() []provision.Finding {
	var out []provision.Finding
	if i.MemTotal > 0 {
		f := provision.Finding{
			Check: "engine's machine", Severity: provision.OK,
			Message: fmt.Sprintf("%d CPUs, %.1f GiB", i.NCPU, float64(i.MemTotal)/(1<<30)),
		}
		if i.MemTotal < needMemory-needMemory/8 {
			f.Severity = provision.Warning
			f.Message += " is too little for a lab of two nodes"
			f.Fix = "give the engine's machine 4 GiB (Docker Desktop: Settings, Resources)"
		}
		out = append(out, f)
	}
	if major, minor, ok := version(i.KernelVersion); ok && (major < 5 || major == 5 && minor < 10) {
		out = append(out, provision.Finding{
			Check: "kernel", Severity: provision.Failure, Message: i.KernelVersion + ": Cilium needs 5.10 or newer",
			Fix: "update the system, or Docker Desktop",
		})
	}
	if i.CgroupVersion == "1" {
		out = append(out, provision.Finding{
			Check: "cgroups", Severity: provision.OK, Message: "version 1; new versions of Kubernetes need version 2",
		})
	}
	if slices.Contains(i.SecurityOptions, rootless) {
		out = append(out, provision.Finding{
			Check: "rootless engine", Severity: provision.Failure,
			Message: "the engine runs without root, so Cilium's agents cannot load their BPF programs",
			Fix:     "use an engine that runs as root (docker context use default; podman machine set --rootful; sudo)",
		})
	}
	if i.DockerRootDir != "" {
		if f, ok := provision.CheckDisk("the engine's directory", i.DockerRootDir); ok {
			out = append(out, f)
		}
	}
	return out
}

// checkIPv6 checks that nodes of a cluster with both address families can have IPv6 addresses.
func (p *Provider) checkIPv6(ctx context.Context) []provision.Finding {
	if p.settings.IPFamily != "dual" {
		return nil
	}
	if runtime.GOOS == "linux" && ipv6Disabled("/proc") {
		return []provision.Finding{{
			Check: "IPv6", Severity: provision.Failure,
			Message: "the lab's cluster has ip_family = \"dual\", but IPv6 is disabled in this machine's kernel",
			Fix: "sudo sysctl net.ipv6.conf.all.disable_ipv6=0 (if there is no such setting: start the kernel without " +
				"ipv6.disable=1), or set ip_family = \"ipv4\"",
		}}
	}
	// kind creates its network without IPv6 where the engine has none, and keeps it.
	enabled, err := p.engine.run(ctx, "network", "inspect", "--format", "{{.EnableIPv6}}", network())
	if err == nil && enabled == "false" {
		return []provision.Finding{{
			Check: "IPv6", Severity: provision.Failure,
			Message: "the lab's cluster has ip_family = \"dual\", but the network " + network() + " of its nodes has no IPv6",
			Fix: "delete the network when no cluster uses it (docker network rm " + network() + "), " +
				"or set ip_family = \"ipv4\"",
		}}
	}
	return nil
}

// ipv6Disabled says whether a kernel has no IPv6, or does not use it. proc is where its settings are.
func ipv6Disabled(proc string) bool {
	value, err := os.ReadFile(filepath.Join(proc, "sys/net/ipv6/conf/all/disable_ipv6"))
	return os.IsNotExist(err) || err == nil && strings.TrimSpace(string(value)) == "1"
}

// checkProxy checks that nodes can use the proxy that this machine needs. kind gives the nodes the variables of this
// process, and excepts the cluster itself.
func (p *Provider) checkProxy(info *engineInfo) []provision.Finding {
	env := httpproxy.FromEnvironment()
	ours, engines := cmp.Or(env.HTTPSProxy, env.HTTPProxy), cmp.Or(info.HTTPSProxy, info.HTTPProxy)
	f := provision.Finding{Check: "proxy", Severity: provision.Warning}
	switch {
	case ours == "" && engines != "" && !clientHasProxies():
		f.Message = "the engine pulls images through the proxy " + provision.RedactURLs(engines) + ", the nodes would not"
		f.Fix = fmt.Sprintf("export HTTP_PROXY=%[1]s HTTPS_PROXY=%[1]s NO_PROXY=%[2]s",
			provision.RedactURLs(engines), p.noProxy(info.NoProxy))
	case isLoopbackURL(ours):
		f.Message = "the nodes cannot reach the proxy " + provision.RedactURLs(ours) + ", which is a loopback address"
		f.Fix = "set HTTPS_PROXY to an address that containers reach, such as the one of the bridge docker0, and " +
			"NO_PROXY=" + p.noProxy(env.NoProxy)
	default:
		return nil
	}
	return []provision.Finding{f}
}

// clientHasProxies says whether Docker's client gives containers proxies, which kind gives to the nodes.
func clientHasProxies() bool {
	dir := os.Getenv("DOCKER_CONFIG")
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = filepath.Join(home, ".docker")
	}
	var config struct {
		Proxies map[string]any `json:"proxies"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	return err == nil && json.Unmarshal(data, &config) == nil && len(config.Proxies) > 0
}

// noProxy is what the nodes must reach without a proxy, in addition to what is excepted already.
func (p *Provider) noProxy(already string) string {
	config := p.config("")
	hosts := []string{"localhost", "127.0.0.1", ".svc", ".cluster.local", config.Networking.PodSubnet,
		config.Networking.ServiceSubnet}
	for _, mirror := range slices.Sorted(maps.Values(p.site.Mirrors)) {
		if u, err := url.Parse(mirror); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	for _, host := range strings.Split(already, ",") {
		if host = strings.TrimSpace(host); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",")
}

// isLoopbackURL says whether a proxy is at a loopback address. The scheme may be missing.
func isLoopbackURL(proxy string) bool {
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// version reads "6.18.44-fc".
func version(text string) (major, minor int, ok bool) {
	n, err := fmt.Sscanf(text, "%d.%d", &major, &minor)
	return major, minor, err == nil && n == 2
}
