package cilium

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

// agentSet is the chart's DaemonSet, as far as the cleanup looks at it.
const agentSet = `
metadata: {name: cilium, namespace: kube-system}
spec:
  template:
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      imagePullSecrets: [{name: pull}]
      containers:
      - {name: other, image: other}
      - {name: cilium-agent, image: "mirror.example/cilium:v1"}
      volumes:
      - {name: tmp, emptyDir: {}}
      - {name: cilium-run, hostPath: {path: /var/run/cilium}}
      - {name: bpf-maps, hostPath: {path: /sys/fs/bpf}}
      - {name: cilium-cgroup, hostPath: {path: /run/cilium/cgroupv2}}
      - {name: cni-path, hostPath: {path: /home/kubernetes/bin}}
      - {name: etc-cni-netd, hostPath: {path: /etc/cni/net.d}}
      - {name: hostproc, hostPath: {path: /proc}}
      - {name: lib-modules, hostPath: {path: /lib/modules}}
`

func agentOf(t *testing.T) *appsv1.DaemonSet {
	t.Helper()
	set := new(appsv1.DaemonSet)
	if err := yaml.Unmarshal([]byte(agentSet), set); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestCleanNodes: once the agents are gone, their image cleans every node that had one, and nothing of it stays.
func TestCleanNodes(t *testing.T) {
	t.Parallel()
	const nodes = `
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {conditions: [{type: NetworkUnavailable, status: "False", reason: CiliumIsUp}, {type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {conditions: [{type: NetworkUnavailable, status: "False", reason: RouteCreated}]}}
`
	const agentPod = `{apiVersion: v1, kind: Pod, metadata: {name: cilium-1, namespace: kube-system, labels: {k8s-app: cilium}}, spec: {containers: [{name: a, image: b}]}}`
	for _, tc := range []struct {
		name, there string
		fails       string // the request that fails
		want        string // of the error
	}{
		{name: "all is well"},
		{name: "of a run that was killed", there: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: labctl-cilium-cleanup, namespace: kube-system}}`},
		{name: "an agent that does not end", there: agentPod, want: "Cilium's agents: 1 are still there"},
		{name: "it may not be created", fails: "POST", want: "clean the nodes"},
		{name: "it may not be deleted", fails: "DELETE", want: "delete DaemonSet labctl-cilium-cleanup"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := kubetest.New(t)
			api.Add(nodes)
			if tc.there != "" {
				api.Add(tc.there)
			}
			var requests []string
			api.Intercept = func(method, path string) error {
				requests = append(requests, method+" "+path[strings.LastIndex(path, "/")+1:])
				if method == tc.fails {
					return errors.New("no")
				}
				return nil
			}
			err := CleanNodes(t.Context(), api.Client, agentOf(t), 300*time.Millisecond, nil)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(requests, ", "); got != "POST daemonsets, DELETE labctl-cilium-cleanup, PATCH status" {
				t.Errorf("the requests were %s", got)
			}
			if api.Objects()["DaemonSet kube-system/labctl-cilium-cleanup"] != "" {
				t.Error("its DaemonSet is left")
			}
		})
	}
}

// TestReleasePods: only the Deployments of the release go, and what has its node's network stays for Helm. Others may
// have Cilium's label, too: an operator of their own, or a release of another name.
func TestReleasePods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, pod string
		waits     bool
	}{
		{"nothing is being deleted", `{apiVersion: v1, kind: Pod, metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}}`, false},
		{"the relay's pod", `{apiVersion: v1, kind: Pod, metadata: {name: relay-1, namespace: kube-system, labels: {k8s-app: hubble-relay}}}`, true},
		{"a pod of its name elsewhere", `{apiVersion: v1, kind: Pod, metadata: {name: relay-1, namespace: default, labels: {k8s-app: hubble-relay}}}`, false},
		{"somebody's pod that is being deleted", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: default, deletionTimestamp: "2026-01-01T00:00:00Z"}}`, true},
		{"one in its node's network", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: default, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {hostNetwork: true}}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := kubetest.New(t)
			api.Add(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: hubble-relay, namespace: kube-system, labels: {app.kubernetes.io/part-of: cilium}, annotations: {meta.helm.sh/release-name: cilium, meta.helm.sh/release-namespace: kube-system}}, spec: {template: {metadata: {labels: {k8s-app: hubble-relay}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cilium-operator, namespace: kube-system, labels: {app.kubernetes.io/part-of: cilium}, annotations: {meta.helm.sh/release-name: cilium, meta.helm.sh/release-namespace: kube-system}}, spec: {template: {metadata: {labels: {name: cilium-operator}}, spec: {hostNetwork: true}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {template: {metadata: {labels: {k8s-app: kube-dns}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: by-hand, namespace: kube-system, labels: {app.kubernetes.io/part-of: cilium}}, spec: {template: {metadata: {labels: {k8s-app: by-hand}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: exporter, namespace: kube-system, labels: {app.kubernetes.io/part-of: cilium}, annotations: {meta.helm.sh/release-name: cilium-exporter, meta.helm.sh/release-namespace: kube-system}}, spec: {template: {metadata: {labels: {k8s-app: exporter}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: elsewhere, namespace: kube-system, labels: {app.kubernetes.io/part-of: cilium}, annotations: {meta.helm.sh/release-name: cilium, meta.helm.sh/release-namespace: cilium}}, spec: {template: {metadata: {labels: {k8s-app: elsewhere}}}}}
`)
			api.Add(tc.pod)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it waits"))
			defer cancel()
			if err := ReleasePods(ctx, api.Client); (err != nil) != tc.waits {
				t.Errorf("%v, want that it waits: %v", err, tc.waits)
			}
			left := api.Objects()
			for name, stays := range map[string]bool{
				"hubble-relay": false, "cilium-operator": true, "coredns": true, "by-hand": true, "exporter": true, "elsewhere": true,
			} {
				if left["Deployment kube-system/"+name] != "" != stays {
					t.Errorf("Deployment %s is left: %v", name, !stays)
				}
			}
		})
	}
}

// TestCleanupIsDeleted: a cleanup that does not end, or is interrupted, leaves no DaemonSet.
func TestCleanupIsDeleted(t *testing.T) {
	t.Parallel()
	client, typed := kubetest.Cluster{}.Client(t) // whose DaemonSets are never ready
	err := CleanNodes(t.Context(), client, agentOf(t), 300*time.Millisecond, nil)
	var left *kube.NotReadyError
	if !errors.As(err, &left) {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := CleanNodes(ctx, client, agentOf(t), time.Minute, nil); err == nil {
		t.Error("it was not interrupted")
	}
	deleted := 0
	for _, a := range typed.Actions() {
		if a.GetVerb() == "delete" {
			deleted++
		}
	}
	if deleted != 2 {
		t.Errorf("it was deleted %d times of 2", deleted)
	}
}

// TestCleanupSet: the cleanup uses the agent's image and paths, and cannot delete what is below the cgroups.
func TestCleanupSet(t *testing.T) {
	t.Parallel()
	spec := cleanupSet(agentOf(t)).Spec.Template.Spec
	clean := spec.InitContainers[0]
	if clean.Image != "mirror.example/cilium:v1" || spec.Containers[0].Image != clean.Image || spec.NodeSelector["kubernetes.io/os"] != "linux" ||
		len(spec.ImagePullSecrets) != 1 || !spec.HostNetwork {
		data, _ := json.MarshalIndent(spec, "", " ")
		t.Errorf("%s", data)
	}
	paths := map[string]string{}
	for _, v := range spec.Volumes {
		paths[v.Name] = v.HostPath.Path
	}
	if len(paths) != 6 || paths["cni-path"] != "/home/kubernetes/bin" {
		t.Errorf("the volumes are %v", paths)
	}
	for _, m := range clean.VolumeMounts {
		if m.ReadOnly != (m.Name == "cilium-cgroup") || paths[m.Name] == "" {
			t.Errorf("%+v", m)
		}
	}
}

// TestCleanupScript: of the firewall and the interfaces, only what is Cilium's goes.
func TestCleanupScript(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, function, in, want string }{
		{"rules", "without_cilium", `# Generated by iptables-save v1.8.9 (nf_tables)
*nat
:PREROUTING ACCEPT [0:0]
:CILIUM_POST_nat - [0:0]
:CILIUM_PRE_nat - [0:0]
:KUBE-SERVICES - [0:0]
:OLD_CILIUM_POST_nat - [0:0]
-A PREROUTING -m comment --comment "cilium-feeder: CILIUM_PRE_nat" -j CILIUM_PRE_nat
-A PREROUTING -m comment --comment "not CILIUM_PRE_nat" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "cilium-feeder: CILIUM_POST_nat" -j OLD_CILIUM_POST_nat
-A CILIUM_POST_nat -s 10.244.0.0/24 -m comment --comment "cilium masquerade \"x\"" -j MASQUERADE
-A KUBE-SERVICES -j RETURN
COMMIT
*mangle
:MINE - [0:0]
-A MINE -j ACCEPT
COMMIT
`, `*nat
-D PREROUTING -m comment --comment "cilium-feeder: CILIUM_PRE_nat" -j CILIUM_PRE_nat
-D POSTROUTING -m comment --comment "cilium-feeder: CILIUM_POST_nat" -j OLD_CILIUM_POST_nat
-F CILIUM_POST_nat
-F CILIUM_PRE_nat
-F OLD_CILIUM_POST_nat
-X CILIUM_POST_nat
-X CILIUM_PRE_nat
-X OLD_CILIUM_POST_nat
COMMIT
*mangle
COMMIT
`},
		{"interfaces", "endpoints", `1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
2: eth0@if5: <BROADCAST> mtu 1500
3: lxcbr0: <BROADCAST> mtu 1500
7: lxc_health@if6: <BROADCAST> mtu 1500
9: lxc0a1b2c3d4e5f@if8: <BROADCAST> mtu 1500
10: lxcmybridge00: <BROADCAST> mtu 1500
11: veth0a1b2c3d@if2: <BROADCAST> mtu 1500
`, "lxc_health\nlxc0a1b2c3d4e5f\n"},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", cleanupScript+tc.function)
		cmd.Stdin = strings.NewReader(tc.in)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != tc.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tc.name, err, out, tc.want)
		}
	}
}
