package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/labctl/labctl/provision"
)

// Preflight implements provision.Provider.
func (p *Provider) Preflight(ctx context.Context, c provision.Cluster) []provision.Finding {
	name, err := p.engine.find(ctx)
	if err != nil {
		return []provision.Finding{{
			Check: "container engine", Severity: provision.Failure, Message: "no container engine was found",
			Fix: "install Docker (https://docs.docker.com/get-docker), podman or nerdctl",
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

// engineInfo is what docker and nerdctl report. podman reports less, in another format.
type engineInfo struct {
	ServerVersion string
	MemTotal      uint64
	NCPU          int
	KernelVersion string
	CgroupVersion string
	DockerRootDir string
}

func (p *Provider) info(ctx context.Context, name string) (*engineInfo, error) {
	if name == "podman" {
		version, err := p.engine.run(ctx, "info", "--format", "{{.Version.Version}}")
		return &engineInfo{ServerVersion: version}, err
	}
	text, err := p.engine.run(ctx, "info", "--format", "{{json .}}")
	if err != nil {
		return nil, err
	}
	var info engineInfo
	if err := json.Unmarshal([]byte(text), &info); err != nil {
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
	if major, minor, ok := kernel(i.KernelVersion); ok && (major < 5 || major == 5 && minor < 10) {
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
	if i.DockerRootDir != "" {
		if f, ok := provision.CheckDisk("the engine's directory", i.DockerRootDir); ok {
			out = append(out, f)
		}
	}
	return out
}

// kernel reads "6.18.44-fc".
func kernel(version string) (major, minor int, ok bool) {
	n, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return major, minor, err == nil && n == 2
}
