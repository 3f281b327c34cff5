//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// portLab is a lab whose cluster wants a port of this machine.
const portLab = `
lab "port" { title = "A port of this machine" }
cluster "kind" { api_port = %d }
app "web" {
  port "http" { port = 80 }
}
task "look" {
  title        = "Look"
  instructions = "Look."
  objective "open" {
    title  = "web answers itself"
    points = 1
    expect "allowed" {
      from = app.web
      to   = app.web.port.http
    }
  }
}
`

// refused brings up labs that cannot be: each up must say why, end with exit code 3, and leave nothing.
func (s *suite) refused(t *testing.T) {
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	if err := os.Mkdir(filepath.Join(s.dir, "port"), 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	lab := filepath.Join(s.dir, "port")
	if err := os.WriteFile(filepath.Join(lab, "lab.hcl"), fmt.Appendf(nil, portLab, port), 0o600); err != nil {
		t.Fatal(err)
	}
	values := func(path string) string {
		return "LABCTL_CILIUM_VALUES=" + strings.TrimSpace(os.Getenv("LABCTL_CILIUM_VALUES")+" "+path)
	}
	nowhere := filepath.Join(s.dir, "nowhere")
	// Nothing listens on port 1, so that a pull from there fails at once, wherever this runs.
	const image = "127.0.0.1:1/not/there:1"
	for _, fault := range []struct {
		name string
		env  string
		lab  string // default networkpolicy
		says []string
	}{
		{"docker", "DOCKER_HOST=unix://" + nowhere, "", []string{`docker does not answer`, `start it`}},
		{"node-image", "LABCTL_NODE_IMAGE=" + image, "", []string{`node image: ` + image + ` is not on this machine and cannot be pulled`, `refused`}},
		{"image", "LABCTL_IMAGES=" + image, "", []string{`images: image to load: ` + image + ` is not on this machine and cannot be pulled`}},
		{"image-archive", "LABCTL_IMAGES=" + nowhere + ".tar", "", []string{`image archive: .*nowhere\.tar: no such file`, `fix the setting images`}},
		{"chart", "LABCTL_CILIUM_CHART=" + nowhere + ".tgz", "", []string{`Cilium's chart: .*nowhere\.tgz: no such file`, `fix the setting cilium_chart`}},
		{"chart-content", "LABCTL_CILIUM_CHART=" + file("chart.tgz", "no archive"), "", []string{`read the chart .*chart\.tgz`}},
		{"values", values(nowhere), "", []string{`Helm values: .*nowhere: no such file`, `fix the setting cilium_values`}},
		{"values-yaml", values(file("values.yaml", "a: [")), "", []string{`read Helm values: .*values\.yaml: `}},
		{"values-schema", values(file("values.yaml", "debug: {enabled: perhaps}")), "", []string{`values for chart .*`, `debug.*enabled`, `boolean`}},
		{"api-port", "", lab, []string{fmt.Sprintf(`port %d: the lab's cluster block needs it \(api_port\), but it cannot be used`, port), `address already in use`}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			instance := s.name + "-" + fault.name
			if fault.lab == "" {
				fault.lab = "networkpolicy"
			}
			r := s.with(fault.env).run(t, 3, "up", fault.lab, "--name", instance)
			t.Logf("%.1f s: %s", r.took.Seconds(), lastLine(r.stderr))
			r.has(t, fault.says...)
			s.gone(t, instance)
		})
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// foreign has a cluster of the lab's name that somebody else made: it must be left alone.
func (s *suite) foreign(t *testing.T) {
	instance := s.name + "-foreign"
	node := "labctl-" + instance + "-control-plane"
	image := command(t, "docker", "ps", "--filter", "name=^"+s.node("control-plane")+"$", "--format", "{{.Image}}")
	if image == "" {
		s.lab(t)
		image = command(t, "docker", "ps", "--filter", "name=^"+s.node("control-plane")+"$", "--format", "{{.Image}}")
	}
	command(t, "docker", "create", "--name", node, "--label", "io.x-k8s.kind.cluster=labctl-"+instance, image)
	defer command(t, "docker", "rm", "-f", "-v", node)
	refusal := `kind cluster labctl-` + instance + ` already exists and was not created by this instance`
	s.run(t, 3, "plan", "networkpolicy", "--name", instance).has(t, refusal)
	s.run(t, 3, "up", "networkpolicy", "--name", instance).has(t, refusal, `--instance`)
	s.run(t, 2, "down", instance).has(t, `no such lab instance`)
	// With --retain there is an instance afterwards, and still the cluster is not its own.
	s.run(t, 3, "up", "networkpolicy", "--name", instance, "--retain").has(t, refusal)
	s.run(t, 3, "up", "networkpolicy", "--name", instance).has(t, refusal)
	s.run(t, 0, "down", instance)
	if left := s.containers(t, instance); len(left) != 1 {
		t.Errorf("the foreign cluster was touched: %v", left)
	}
}

// vanished removes the cluster of an up that was killed by hand; down has nothing left to remove.
func (s *suite) vanished(t *testing.T) {
	instance := s.name + "-vanished"
	p := s.start(t, "up", "networkpolicy", "--name", instance)
	eventually(t, time.Minute, 100*time.Millisecond, func() error {
		if left := s.containers(t, instance); len(left) < 2 {
			return fmt.Errorf("the nodes are not there yet: %s", p.stderr.String())
		}
		return nil
	})
	p.kill(t)
	// The engine goes on with what it was asked for.
	eventually(t, time.Minute, 100*time.Millisecond, func() error {
		left := s.containers(t, instance)
		if len(left) == 0 {
			return nil
		}
		command(t, "docker", append([]string{"rm", "-f", "-v"}, left...)...)
		return fmt.Errorf("still there: %s", left)
	})
	s.run(t, 3, "status", instance).has(t, `the cluster is gone; recreate it with: labctl up networkpolicy --instance `+instance)
	s.run(t, 0, "down", instance)
	s.gone(t, instance)
}
