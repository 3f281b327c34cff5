package provision

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
)

// bundle is an archive that is being written. It lists what could not be collected.
type bundle struct {
	root     string
	redactor *redactor
	tar      *tar.Writer
	now      time.Time
	errs     []string
	err      error // of writing
}

func (b *bundle) add(name string, data []byte) {
	if b.err != nil {
		return
	}
	data = b.redactor.redact(data)
	b.err = b.tar.WriteHeader(&tar.Header{
		Name: path.Join(b.root, name), Mode: 0o644, Size: int64(len(data)), ModTime: b.now,
	})
	if b.err == nil {
		_, b.err = b.tar.Write(data)
	}
}

func (b *bundle) note(what string, err error) {
	if err != nil {
		b.errs = append(b.errs, what+": "+err.Error())
	}
}

func (b *bundle) yaml(name string, v any) {
	data, err := yaml.Marshal(v)
	if err != nil {
		b.note(name, err)
		return
	}
	b.add(name, data)
}

// Logs writes a gzipped archive with what helps to find out why an instance does not work: its state, the settings,
// the cluster's objects, events and logs, Cilium's status and the nodes' logs. Secrets, the kubeconfig, values of the
// lab's variables and of containers' environments, and passwords in URLs are not included. Of a cluster that others
// use, too, only what is the lab's is included.
func (m *Manager) Logs(ctx context.Context, name string, w io.Writer) error {
	st, err := m.Store.Read(name)
	if err != nil {
		return err
	}
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(w)
	b := &bundle{
		root: "labctl-" + name, redactor: newRedactor(st.Lab.values()), tar: tar.NewWriter(zip), now: m.Now(),
	}
	cluster := m.cluster(st)
	b.yaml("state.yaml", st.public())
	b.yaml("settings.yaml", m.Settings.List())
	found, err := provider.Find(ctx, cluster)
	b.note("cluster", err)
	b.yaml("cluster.yaml", found)
	if found.State == Running {
		b.note("kubernetes", m.clusterLogs(ctx, b, cluster, provider, st))
	}
	if collector, ok := provider.(LogCollector); ok && found.State != Absent {
		b.note("nodes", b.nodes(ctx, collector, cluster))
	}
	if len(b.errs) > 0 {
		data, _ := json.MarshalIndent(b.errs, "", "  ")
		b.add("not-collected.json", data)
	}
	for _, err := range []error{b.err, b.tar.Close(), zip.Close()} {
		if err != nil {
			return fmt.Errorf("write the support bundle: %w", err)
		}
	}
	return nil
}

func (b *bundle) nodes(ctx context.Context, collector LogCollector, cluster Cluster) error {
	dir, err := os.MkdirTemp("", "labctl-logs-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	collectErr := collector.CollectLogs(ctx, cluster, dir)
	err = filepath.WalkDir(dir, func(p string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b.add(path.Join("nodes", filepath.ToSlash(rel)), data)
		return b.err
	})
	if err == nil {
		err = collectErr
	}
	return err
}

// logLines and logBytes are how much of each container's log goes in.
const (
	logLines = 2000
	logBytes = 8 << 20
)

func (m *Manager) clusterLogs(ctx context.Context, b *bundle, cluster Cluster, provider Provider, st *State) error {
	client, err := kube.Open(cluster.Kubeconfig, "")
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, 5*time.Second); err != nil {
		return err
	}
	owns := &scope.Scope{Exclusive: true}
	if !provider.Ephemeral() {
		lab, err := st.Lab.Load(st.Tool)
		if err != nil {
			return err // what is the lab's is not known
		}
		if owns, err = scopeOf(st, lab, provider, m.Settings.AppImage); err != nil {
			return err
		}
	}
	_, bundled := bundledCNI(provider)
	return b.cluster(ctx, client, owns, bundled)
}

// cluster adds what the cluster has of an instance.
func (b *bundle) cluster(ctx context.Context, client *kube.Client, owns *scope.Scope, bundled string) error {
	core := client.Typed.CoreV1()
	if list, err := core.Nodes().List(ctx, metav1.ListOptions{}); err == nil {
		if !owns.Exclusive {
			for i := range list.Items { // nodes are everybody's, but they list the images of all pods
				list.Items[i].Annotations, list.Items[i].Status.Images = nil, nil
			}
		}
		b.yaml("kubernetes/nodes.yaml", list.Items)
	} else {
		b.note("nodes", err)
	}
	if list, err := core.Namespaces().List(ctx, metav1.ListOptions{}); err == nil {
		b.yaml("kubernetes/namespaces.yaml", slices.DeleteFunc(list.Items, func(ns corev1.Namespace) bool {
			return !owns.Exclusive && !slices.Contains(owns.Namespaces, ns.Name)
		}))
	} else {
		b.note("namespaces", err)
	}
	if list, err := core.Services("").List(ctx, metav1.ListOptions{}); err == nil {
		b.yaml("kubernetes/services.yaml", slices.DeleteFunc(list.Items, func(s corev1.Service) bool {
			return !owns.OwnsNamespace(s.Namespace) && s.Annotations[scope.DeployedAnnotation] != owns.Instance
		}))
	} else {
		b.note("services", err)
	}
	if list, err := scope.Policies(ctx, client); err == nil {
		b.yaml("kubernetes/policies.yaml", slices.DeleteFunc(list, func(p unstructured.Unstructured) bool {
			return !owns.Exclusive && !owns.Counts(&p)
		}))
	} else {
		b.note("policies", err)
	}
	if cm, err := core.ConfigMaps(cilium.Namespace).Get(ctx, "cilium-config", metav1.GetOptions{}); err == nil {
		b.yaml("cilium/config.yaml", cm.Data)
	} else {
		b.note("cilium-config", err)
	}
	if status, err := cilium.ReadStatus(ctx, client, bundled); err == nil {
		for i := range status.Nodes {
			if !owns.Exclusive { // controllers are named after everybody's pods
				status.Nodes[i].Errors, status.Nodes[i].Warnings = nil, nil
			}
		}
		status.Pods = nil // it names pods of others, too
		b.yaml("cilium/status.yaml", status)
	} else {
		b.note("cilium status", err)
	}
	return b.pods(ctx, client, owns)
}

// pods adds the pods of an instance, their events and logs. The logs of Cilium's agents name everybody's pods, so that
// they are left out of a cluster that others use, too.
func (b *bundle) pods(ctx context.Context, client *kube.Client, owns *scope.Scope) error {
	core := client.Typed.CoreV1()
	pods, err := core.Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	mine := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !owns.OwnsPod(&pod) })
	names := map[string]bool{}
	for i := range mine {
		names[mine[i].Namespace+"/"+mine[i].Name] = true
		hideEnvironment(&mine[i])
	}
	b.yaml("kubernetes/pods.yaml", mine)
	if list, err := core.Events("").List(ctx, metav1.ListOptions{}); err == nil {
		events := slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
			about := e.InvolvedObject
			return !owns.Exclusive && !owns.OwnsNamespace(about.Namespace) && !names[about.Namespace+"/"+about.Name]
		})
		slices.SortFunc(events, func(x, y corev1.Event) int {
			return x.LastTimestamp.Compare(y.LastTimestamp.Time)
		})
		b.yaml("kubernetes/events.yaml", events)
	} else {
		b.note("events", err)
	}
	for i := range mine {
		b.podLogs(ctx, client, &mine[i])
	}
	return nil
}

// hideEnvironment removes the values of a pod's environment variables, also from what kubectl keeps of its manifest.
func hideEnvironment(pod *corev1.Pod) {
	delete(pod.Annotations, corev1.LastAppliedConfigAnnotation)
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for j := range containers[i].Env {
				if env := &containers[i].Env[j]; env.Value != "" {
					env.Value = "***"
				}
			}
		}
	}
}

func (b *bundle) podLogs(ctx context.Context, client *kube.Client, pod *corev1.Pod) {
	lines, limit := int64(logLines), int64(logBytes)
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		for _, previous := range []bool{false, true} {
			if previous && status.RestartCount == 0 {
				continue
			}
			data, err := client.Typed.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
				Container: status.Name, TailLines: &lines, LimitBytes: &limit, Previous: previous, Timestamps: true,
			}).DoRaw(ctx)
			name := status.Name
			if previous {
				name += ".previous"
			}
			if err != nil {
				b.note("log of "+pod.Namespace+"/"+pod.Name+" "+name, err)
				continue
			}
			if data = bytes.TrimSpace(data); len(data) > 0 {
				b.add(path.Join("logs", pod.Namespace, pod.Name, name+".log"), data)
			}
		}
	}
}
