package minikube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// TestMain lets the test binary be minikube: one that knows the flags that labctl may use, keeps its clusters in a
// directory, and prints what the real one of version 1.38 does by its sources (testdata).
func TestMain(m *testing.M) {
	if home := os.Getenv("FAKE_MINIKUBE_HOME"); home != "" {
		os.Exit((&fake{home: home, mood: os.Getenv("FAKE_MINIKUBE_MOOD")}).main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fake is a minikube without machines.
type fake struct {
	home string
	mood string // a failure that it is to have
}

// cluster is a profile of it.
type cluster struct {
	Nodes  int
	State  string // of the nodes
	Images []string
}

// exit codes of the real one: https://minikube.sigs.k8s.io/docs/contrib/errorcodes/.
const (
	exitUsage    = 14
	exitNotFound = 85
	exitNode     = 80
)

func (f *fake) main(args []string) int {
	log, err := os.OpenFile(filepath.Join(f.home, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(log, strings.Join(args, " "))
		log.Close()
	}
	words := 1
	if slices.Contains([]string{"profile", "image"}, args[0]) {
		words = 2
	}
	command := strings.Join(args[:words], " ")
	flags := pflag.NewFlagSet(command, pflag.ContinueOnError)
	profile := flags.StringP("profile", "p", "minikube", "")
	output := flags.StringP("output", "o", "text", "")
	var nodes, cpus int
	var dryRun, daemon, light, interactive, keep, embed bool
	var cni, plugin, wait, memory, driver, version, format, file string
	switch command {
	case "start":
		flags.IntVar(&nodes, "nodes", 1, "")
		flags.IntVar(&cpus, "cpus", 2, "")
		flags.BoolVar(&dryRun, "dry-run", false, "")
		flags.BoolVar(&interactive, "interactive", true, "")
		flags.BoolVar(&keep, "keep-context", false, "")
		flags.BoolVar(&embed, "embed-certs", false, "")
		flags.StringVar(&cni, "cni", "", "")
		flags.StringVar(&plugin, "network-plugin", "", "")
		flags.StringVar(&wait, "wait", "", "")
		flags.StringVar(&memory, "memory", "", "")
		flags.StringVar(&driver, "driver", "", "")
		flags.StringVar(&version, "kubernetes-version", "", "")
	case "profile list":
		flags.BoolVarP(&light, "light", "l", false, "")
	case "image load":
		flags.BoolVar(&daemon, "daemon", false, "")
	case "image ls":
		flags.StringVar(&format, "format", "short", "")
	case "logs":
		flags.StringVar(&file, "file", "", "")
	}
	if err := flags.Parse(args[words:]); err != nil {
		return f.usage(err.Error())
	}
	clusters := f.read()
	c := clusters[*profile]
	switch command {
	case "version":
		fmt.Println(f.recorded("version.json"))
	case "profile list":
		f.list(clusters)
	case "start":
		switch {
		case *output != "json" || interactive || !keep || !embed:
			return f.usage("start is to be quiet, and to leave the user's kubeconfig alone")
		case cni != "false" || plugin != "cni":
			return f.usage("the network is to be left to Cilium")
		}
		return f.start(clusters, *profile, nodes, dryRun)
	case "status":
		return f.status(c, *profile)
	case "stop", "delete":
		if c == nil && command == "stop" {
			return f.fail("profile-not-found.jsonl", exitNotFound)
		}
		if c != nil && command == "stop" {
			c.State = "Stopped"
		}
		if command == "delete" {
			delete(clusters, *profile)
		}
		f.write(clusters)
		fmt.Println(f.recorded(command + ".jsonl"))
	case "image ls":
		list := []map[string]any{}
		for _, image := range c.Images {
			list = append(list, map[string]any{"id": "0", "repoDigests": []string{}, "repoTags": []string{image}, "size": "1"})
		}
		data, _ := json.Marshal(list)
		fmt.Println(string(data))
	case "image load":
		image := flags.Arg(0)
		if !daemon && !strings.HasSuffix(image, ".tar") {
			return f.usage("an image of a registry is not asked for")
		}
		if !strings.Contains(image, "no/such") { // of one that it does not find the real one only logs
			c.Images = append(c.Images, "docker.io/library/"+strings.TrimPrefix(image, "docker.io/library/"))
		}
		f.write(clusters)
	case "update-context":
		if c == nil || c.State != "Running" {
			fmt.Fprintln(os.Stderr, f.recorded("update-context-stopped.txt"))
			return exitNotFound
		}
		path := os.Getenv("KUBECONFIG")
		config := "apiVersion: v1\nkind: Config\ncurrent-context: other\n" +
			"clusters: [{name: P, cluster: {server: 'https://192.0.2.7:8443'}}, {name: other, cluster: {server: 'https://192.0.2.8'}}]\n" +
			"users: [{name: P, user: {token: t}}, {name: other, user: {token: secret}}]\n" +
			"contexts: [{name: P, context: {cluster: P, user: P}}, {name: other, context: {cluster: other, user: other}}]\n"
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(config, "P", *profile)), 0o600); err != nil {
			return 1
		}
	case "logs":
		if err := os.WriteFile(file, []byte("==> Audit <==\n"), 0o600); err != nil {
			return 1
		}
	default:
		return f.usage("unknown command " + command)
	}
	return 0
}

func (f *fake) usage(why string) int {
	fmt.Fprintln(os.Stderr, "X Exiting due to MK_USAGE: "+why)
	return exitUsage
}

// recorded is what the real one prints.
func (f *fake) recorded(name string) string {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return strings.TrimSuffix(string(data), "\n")
}

func (f *fake) fail(recording string, code int) int {
	fmt.Println(f.recorded(recording))
	return code
}

// moods are failures of start.
var moods = map[string]struct {
	recording string
	code      int
}{
	"no driver": {"start-no-driver.jsonl", 69},
	"no memory": {"start-no-memory.jsonl", 23},
	"offline":   {"start-offline.jsonl", exitNode},
}

func (f *fake) start(clusters map[string]*cluster, profile string, nodes int, dryRun bool) int {
	if mood, ok := moods[f.mood]; ok {
		return f.fail(mood.recording, mood.code)
	}
	if dryRun {
		fmt.Println(f.recorded("start-dry-run.jsonl"))
		return 0
	}
	c := clusters[profile]
	if c == nil {
		c = &cluster{Nodes: nodes}
		clusters[profile] = c
	}
	c.State = "Starting"
	f.write(clusters)
	for line := range strings.Lines(f.recorded("start.jsonl")) {
		fmt.Print(line)
		time.Sleep(time.Millisecond)
		if f.mood == "slow" {
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Println()
	c.State = "Running"
	f.write(clusters)
	return 0
}

func (f *fake) status(c *cluster, profile string) int {
	if c == nil {
		return f.fail("profile-not-found.jsonl", exitNotFound)
	}
	if c.State == "Starting" { // it was killed
		fmt.Println(f.recorded("status-nonexistent.json"))
		return 7
	}
	var nodes []map[string]any
	for i := range c.Nodes {
		n := map[string]any{"Name": profile, "Host": c.State, "Kubelet": c.State, "APIServer": c.State, "Kubeconfig": c.State, "Worker": false}
		if i > 0 {
			n["Name"], n["Worker"], n["APIServer"] = fmt.Sprintf("%s-m%02d", profile, i+1), true, "Irrelevant"
		}
		nodes = append(nodes, n)
	}
	data, _ := json.Marshal(nodes)
	if len(nodes) == 1 {
		data, _ = json.Marshal(nodes[0])
	}
	fmt.Print(string(data))
	if c.State != "Running" {
		return 7
	}
	return 0
}

func (f *fake) list(clusters map[string]*cluster) {
	valid := []map[string]any{}
	for name := range clusters {
		valid = append(valid, map[string]any{"Name": name, "Status": "", "Config": map[string]any{}, "Active": false})
	}
	data, _ := json.Marshal(map[string]any{"valid": valid, "invalid": []any{}})
	fmt.Print(string(data))
}

func (f *fake) read() map[string]*cluster {
	clusters := map[string]*cluster{}
	if data, err := os.ReadFile(filepath.Join(f.home, "clusters.json")); err == nil {
		if err := json.Unmarshal(data, &clusters); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	return clusters
}

func (f *fake) write(clusters map[string]*cluster) {
	data, _ := json.Marshal(clusters)
	if err := os.WriteFile(filepath.Join(f.home, "clusters.json"), data, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
