//go:build e2e

package live_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/labs"
)

// closed are the apps of the agreement's lab that nobody may connect to, and one that nobody may send UDP to: half
// of all connections are denied.
const closed = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: %[1]s}
spec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [%[2]s]}]}, policyTypes: [Ingress], ingress: [%[3]s]}
---
`

// TestSpeed grades 30 connections and a matrix of 9 × 9 × 2, half of them denied, and does the same as others would,
// on the same cluster: kubectl exec with curl, one after another, and one exec a cell with 15 workers.
func TestSpeed(t *testing.T) {
	kubeconfig := clusterOf(t)
	lab, eng, _ := agreementLab(t, kubeconfig)
	client, err := kube.Open(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	state := stateOf(t, fmt.Sprintf(closed, "red", "web, api", "")+fmt.Sprintf(closed, "green", "web, api", "")+
		fmt.Sprintf(closed, "blue", "web", "{ports: [{port: 8080, protocol: TCP}]}"))
	var matrix, thirty []engine.Probe
	for i := range lab.Apps {
		for j := range lab.Apps {
			for _, p := range lab.Apps[j].Ports {
				probe := engine.Probe{From: labs.Source{App: lab.Apps[i].Name}, To: labs.Target{App: lab.Apps[j].Name, Via: labs.ViaIP, Port: p.TargetPort, Protocol: p.Protocol}}
				matrix = append(matrix, probe)
				if p.Protocol != "UDP" && i != j && len(thirty) < 30 {
					thirty = append(thirty, probe)
				}
			}
		}
	}
	addrs, pods := podsOf(t, client, lab)

	t.Run("30 probes", func(t *testing.T) {
		ours, denied, spent := timed(t, eng, state, thirty)
		start := time.Now()
		others := 0
		for _, p := range thirty {
			pod := pods[p.From.App]
			cmd := exec.Command("kubectl", "--kubeconfig", kubeconfig, "-n", pod.Namespace, "exec", pod.Name, "--",
				"curl", "-sS", "-o", "/dev/null", "--connect-timeout", "5", fmt.Sprintf("http://%s:%d/", addrs[p.To.App], p.To.Port))
			if err := cmd.Run(); err != nil {
				others++
			}
		}
		compare(t, "kubectl exec … curl --connect-timeout 5, one after another", time.Since(start), ours, 20)
		t.Logf("%d and %d of %d denied; %s", denied, others, len(thirty), spent)
		if denied != others || denied < len(thirty)/2-3 || denied > len(thirty)/2+3 {
			t.Errorf("%d denied of %d, by curl %d: want the same, and about half", denied, len(thirty), others)
		}
	})
	t.Run("matrix", func(t *testing.T) {
		ours, denied, spent := timed(t, eng, state, matrix)
		start := time.Now()
		results := make([]bool, len(matrix))
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(15)
		for i, p := range matrix {
			group.Go(func() error {
				protocol := "tcp"
				if p.To.Protocol != "" {
					protocol = strings.ToLower(p.To.Protocol)
				}
				out, err := client.Exec(ctx, pods[p.From.App], nil, "/agnhost", "connect", fmt.Sprintf("%s:%d", addrs[p.To.App], p.To.Port), "--timeout=10s", "--protocol="+protocol)
				results[i] = out.Code == 0
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		others := 0
		for _, ok := range results {
			if !ok {
				others++
			}
		}
		compare(t, "one exec a cell, 15 workers, 10 s time-out", time.Since(start), ours, 10)
		t.Logf("%d and %d of %d denied; %s", denied, others, len(matrix), spent)
		if denied != others || denied < len(matrix)*4/10 {
			t.Errorf("%d denied of %d, one exec a cell says %d: want the same, and about half", denied, len(matrix), others)
		}
	})
}

// compare logs how long both took, and fails where the ratio is too small.
func compare(t *testing.T, name string, others, ours time.Duration, atLeast float64) {
	t.Helper()
	ratio := others.Seconds() / ours.Seconds()
	t.Logf("labctl %.2f s; %s %.2f s: %.1f times as long", ours.Seconds(), name, others.Seconds(), ratio)
	if ratio < atLeast {
		t.Errorf("%.1f times, want at least %.0f", ratio, atLeast)
	}
}

// timed grades the probes as labctl grade does: canary and integrity first, then the policies are put in force.
func timed(t *testing.T, eng *live.Engine, state *engine.State, probes []engine.Probe) (took time.Duration, denied int, spent string) {
	t.Helper()
	if _, err := eng.At(t.Context(), &engine.State{}); err != nil { // whatever was in force
		t.Fatal(err)
	}
	before := eng.Stats()
	start := time.Now()
	proved, _ := gradeOnce(t, eng, state, probes, func(o engine.Observation) {
		switch o.Verdict {
		case verdict.Dropped:
			denied++
		case verdict.Allowed:
		default:
			t.Errorf("%s → %s: %s %s", o.Probe.From, engine.TargetName(o.Probe.To), o.Verdict, o.Error)
		}
	})
	took = time.Since(start)
	now := eng.Stats()
	return took, denied, fmt.Sprintf("canary and integrity %s, apply %s, in force %s, probes %s; %d execs for probes, %d bytes, %d retries",
		proved.Round(time.Millisecond), (now.Applied - before.Applied).Round(time.Millisecond), (now.Settled - before.Settled).Round(time.Millisecond),
		(now.Probed - before.Probed).Round(time.Millisecond), now.Execs-before.Execs, now.Bytes-before.Bytes, now.Retries-before.Retries)
}

// gradeOnce does what one grading does; it returns how long the proof took that the lab can be graded.
func gradeOnce(t *testing.T, eng *live.Engine, state *engine.State, probes []engine.Probe, each func(engine.Observation)) (time.Duration, []engine.ProberReport) {
	t.Helper()
	start := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error { return eng.Canary(ctx) })
	group.Go(func() error { _, err := eng.Integrity(ctx); return err })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	proved := time.Since(start)
	prober, err := eng.At(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := prober.Probe(t.Context(), probes)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		each(o)
	}
	return proved, prober.Notes().Probers
}

// TestSteady grades an unchanged lab 100 times in a row: the verdicts are the same each time, and nothing is left
// of any, neither here nor in the cluster.
func TestSteady(t *testing.T) {
	kubeconfig := clusterOf(t)
	lab, eng, _ := agreementLab(t, kubeconfig)
	client, err := kube.Open(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	state := stateOf(t, fmt.Sprintf(closed, "red", "web, api", "")+fmt.Sprintf(closed, "blue", "web", "{ports: [{port: 8080, protocol: TCP}]}"))
	flows := agreementFlows(lab)[:60]
	times := number(t, "LABCTL_STEADY", 100)
	early := min(5, times/2) // by then everything is there that stays
	var first, here, there string
	var heap uint64
	var goroutines, connections int
	start := time.Now()
	for n := range times {
		var verdicts strings.Builder
		gradeOnce(t, eng, state, flows, func(o engine.Observation) {
			fmt.Fprintln(&verdicts, o.Probe.From, engine.TargetName(o.Probe.To), o.Verdict)
		})
		if first == "" {
			first = verdicts.String()
		}
		if verdicts.String() != first {
			t.Fatalf("grading %d came to other verdicts:\n%s\nthe first one:\n%s", n, verdicts.String(), first)
		}
		if n != early-1 && n != times-1 {
			continue
		}
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		here = fmt.Sprintf("%d goroutines, %d KiB of heap, %d connections", runtime.NumGoroutine(), mem.HeapAlloc>>10, sockets(t))
		t.Logf("after %d: %s", n+1, here)
		left := inCluster(t, client, lab)
		if n == early-1 {
			heap, goroutines, connections, there = mem.HeapAlloc, runtime.NumGoroutine(), sockets(t), left
			continue
		}
		if grown := runtime.NumGoroutine() - goroutines; grown > 10 {
			t.Errorf("%d goroutines more than after %d gradings", grown, early)
		}
		// Execs and forwards are connections to the API server. A few are kept for the next requests.
		if grown := sockets(t) - connections; grown > 5 {
			t.Errorf("%d connections more than after %d gradings", grown, early)
		}
		if mem.HeapAlloc > heap+heap/2+8<<20 {
			t.Errorf("the heap has grown from %d to %d KiB", heap>>10, mem.HeapAlloc>>10)
		}
		if left != there {
			t.Errorf("left in the cluster:\n%s\nafter %d gradings:\n%s", left, early, there)
		}
	}
	t.Logf("%d gradings of %d connections in %s", times, len(flows), time.Since(start).Round(time.Second))
}

// sockets counts the sockets that this process has open.
func sockets(t *testing.T) (n int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// inCluster is what runs in the lab's and the canary's namespaces: pods with their containers, ephemeral ones too,
// and how many processes the lab's pods have.
func inCluster(t *testing.T, client *kube.Client, lab *labs.Lab) string {
	t.Helper()
	var b strings.Builder
	for _, ns := range []string{"red", "green", "blue", scope.CanaryNamespace(true, "")} {
		pods, err := client.Typed.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			// Those that have just been killed may be on their way out.
			var count string
			for range 10 {
				out, err := client.Exec(t.Context(), kube.Pod{Namespace: ns, Name: p.Name, Container: p.Spec.Containers[0].Name}, nil, "/bin/sh", "-c", "set -- /proc/[0-9]*; echo $#")
				if err != nil {
					t.Fatal(err)
				}
				if now := strings.TrimSpace(string(out.Stdout)); now == count {
					break
				} else {
					count = now
				}
				time.Sleep(200 * time.Millisecond)
			}
			fmt.Fprintf(&b, "%s/%s: %d containers, %d ephemeral, %s processes\n", ns, p.Name, len(p.Spec.Containers), len(p.Spec.EphemeralContainers), count)
		}
	}
	return b.String()
}

// podsOf are the address and the pod of each app.
func podsOf(t *testing.T, client *kube.Client, lab *labs.Lab) (addrs map[string]string, pods map[string]kube.Pod) {
	t.Helper()
	addrs, pods = map[string]string{}, map[string]kube.Pod{}
	for i := range lab.Apps {
		app := &lab.Apps[i]
		selector := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: app.Labels})
		list, err := client.Typed.CoreV1().Pods(app.Namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
		if err != nil || len(list.Items) == 0 {
			t.Fatalf("the pods of %s: %v", app.Name, err)
		}
		addrs[app.Name] = list.Items[0].Status.PodIP
		pods[app.Name] = kube.Pod{Namespace: app.Namespace, Name: list.Items[0].Name, Container: list.Items[0].Spec.Containers[0].Name}
	}
	return addrs, pods
}

// stateOf is the state with the policies of some YAML.
func stateOf(t *testing.T, yaml string) *engine.State {
	t.Helper()
	objs, problems := manifest.Parse([]manifest.File{{Name: "policies.yaml", Data: []byte(yaml)}}, manifest.Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &engine.State{Task: "any", Policies: objs}
}
