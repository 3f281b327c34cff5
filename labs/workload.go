package labs

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/internal/wording"
)

// manifests reads the manifest files that an attribute names. It reports what is wrong with them, at the
// place in the manifest.
func (s *scope) manifests(n *node, attr string, refsOnly bool) ([]*manifest.Object, bool) {
	parse := manifest.Parse
	if refsOnly {
		parse = manifest.ParseRefs
	}
	ok := !n.broken[attr]
	var all []*manifest.Object
	for i, name := range n.strs(attr) {
		at := n.elementRange(attr, i)
		clean, err := s.src.clean(name)
		if err != nil {
			s.errorf(at, "Outside the lab directory", "%q: %v.", name, err)
			ok = false
			continue
		}
		if err := s.src.walk(clean); err != nil {
			s.errorf(at, "Cannot read a file of the lab", "%q: %v.", name, err)
			ok = false
			continue
		}
		files, err := manifest.ReadFS(s.src.fs, clean, manifest.DefaultLimits())
		if err != nil {
			s.errorf(at, "Invalid manifest", "%q: %v.", name, err)
			ok = false
			continue
		}
		for i := range files {
			if files[i].Name != clean { // of a directory: relative to it
				files[i].Name = path.Join(clean, files[i].Name)
			}
		}
		objs, problems := parse(files, manifest.DefaultLimits())
		for _, o := range objs {
			if !refsOnly && o.Unmodelled() { // a live grade would depend on it, and an offline one would not
				problems = append(problems, o.NotModelled())
			}
		}
		for _, p := range problems {
			s.manifestProblem(p, files, at)
			ok = false
		}
		if len(objs) == 0 && len(problems) == 0 {
			s.errorf(at, "No manifest", "%q contains no objects.", name)
			ok = false
		}
		all = append(all, objs...)
	}
	return all, ok
}

// manifestProblem reports a problem of a manifest with its line.
func (s *scope) manifestProblem(p manifest.Problem, files []manifest.File, at hcl.Range) {
	detail := p
	detail.File, detail.Line = "", 0
	text := strings.TrimSuffix(strings.TrimPrefix(detail.String(), ": "), ".") + "."
	i := slices.IndexFunc(files, func(f manifest.File) bool { return f.Name == p.File })
	if i < 0 || p.Line < 1 {
		s.errorf(at, "Invalid manifest", "%s: %s", p.File, text)
		return
	}
	data := files[i].Data
	name := s.src.display(p.File)
	s.diags.files[name] = &hcl.File{Bytes: data}
	start := 0
	for range p.Line - 1 {
		next := bytes.IndexByte(data[start:], '\n')
		if next < 0 {
			break
		}
		start += next + 1
	}
	end := len(data)
	if next := bytes.IndexByte(data[start:], '\n'); next >= 0 {
		end = start + next
	}
	s.errorf(hcl.Range{
		Filename: name,
		Start:    hcl.Pos{Line: p.Line, Column: 1, Byte: start},
		End:      hcl.Pos{Line: p.Line, Column: 1 + utf8.RuneCount(data[start:end]), Byte: end},
	}, "Invalid manifest", "%s", text)
}

// workload is what an app is made of: a pod template and its place.
type workload struct {
	obj      *manifest.Object
	template corev1.PodTemplateSpec
	replicas int
}

func workloads(objs []*manifest.Object) []workload {
	var list []workload
	for _, o := range objs {
		w := workload{obj: o, replicas: 1}
		var replicas *int32
		switch v := o.Value.(type) {
		case *appsv1.Deployment:
			w.template, replicas = v.Spec.Template, v.Spec.Replicas
		case *appsv1.StatefulSet:
			w.template, replicas = v.Spec.Template, v.Spec.Replicas
		case *appsv1.ReplicaSet:
			w.template, replicas = v.Spec.Template, v.Spec.Replicas
		case *appsv1.DaemonSet:
			w.template = v.Spec.Template
		case *corev1.ReplicationController:
			w.template, replicas = *v.Spec.Template, v.Spec.Replicas
		case *batchv1.Job:
			w.template = v.Spec.Template
		case *batchv1.CronJob:
			w.template = v.Spec.JobTemplate.Spec.Template
		case *corev1.Pod:
			w.template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: v.Labels}, Spec: v.Spec}
		default:
			continue
		}
		if replicas != nil {
			w.replicas = int(*replicas)
		}
		list = append(list, w)
	}
	return list
}

// appFromManifests reads an app's namespace, labels, replicas, service and ports from its manifests, so
// that references to its ports are checked. It returns false where they cannot be known.
func (s *scope) appFromManifests(n *node, app *App) bool {
	for _, attr := range []string{
		"labels", "kind", "replicas", "image", "command", "args", "env", "node", "host_network", "service_type",
	} {
		if n.given(attr) {
			s.errorf(n.rng(attr), "Given twice", "%s comes from the manifests of the app; remove it here.", attr)
		}
	}
	for _, typ := range []string{"readiness", "liveness"} {
		if n.hasBlock(typ) {
			s.errorf(n.block.DefRange, "Given twice",
				"The health checks come from the manifests of the app; remove the %s block.", typ)
		}
	}
	if len(app.Ports) > 0 {
		s.errorf(n.block.DefRange, "Given twice",
			"The ports come from the manifests of the app; remove the port blocks.")
	}
	app.Ports, app.Labels, app.ServiceType = nil, nil, ""
	objs, ok := s.manifests(n, "manifests", false)
	if !ok {
		return false
	}
	found := workloads(objs)
	own := slices.DeleteFunc(slices.Clone(found), func(w workload) bool {
		return w.obj.Name != app.Name || n.has("namespace") && w.obj.Namespace != app.Namespace
	})
	if len(own) == 0 && len(found) == 1 && !n.has("namespace") {
		own = found
	}
	if len(own) != 1 {
		names := make([]string, len(found))
		for i, w := range found {
			names[i] = w.obj.Kind + " " + w.obj.Namespace + "/" + w.obj.Name
		}
		switch {
		case len(names) == 0:
			s.errorf(n.rng("manifests"), "No workload", "The manifests have no workload, such as a Deployment or a Pod.")
		case len(own) > 1:
			s.errorf(n.rng("manifests"), "Ambiguous workload", "The manifests have several workloads named %q: %s.", app.Name,
				wording.And(names))
		default:
			s.errorf(n.rng("manifests"), "Unknown workload", "The manifests have no workload named %q; they have %s.", app.Name,
				wording.And(names))
		}
		return false
	}
	w := own[0]
	app.Namespace = w.obj.Namespace
	app.Labels = maps.Clone(w.template.Labels)
	app.Workload = w.obj.Kind + "/" + w.obj.Name
	app.Replicas, app.HostNetwork = w.replicas, w.template.Spec.HostNetwork
	s.appService(n, app, w, objs)
	return true
}

// appService finds the app's service, which is the one asked for or the first that selects its pods.
func (s *scope) appService(n *node, app *App, w workload, objs []*manifest.Object) {
	var names []string
	for _, o := range objs {
		svc, ok := o.Value.(*corev1.Service)
		if !ok || o.Namespace != app.Namespace || len(svc.Spec.Selector) == 0 ||
			!labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(app.Labels)) {
			continue
		}
		names = append(names, o.Name)
		if n.has("service") && o.Name != n.str("service") {
			continue
		}
		app.Service, app.ServiceType = o.Name, serviceType(svc)
		for _, p := range svc.Spec.Ports {
			port := Port{
				Name: p.Name, Port: int(p.Port), TargetPort: targetPort(p, w.template.Spec),
				Protocol: string(p.Protocol), NodePort: int(p.NodePort),
			}
			if port.Name == "" {
				port.Name = containerPortName(port, w.template.Spec)
			}
			if port.Protocol == "" {
				port.Protocol = "TCP"
			}
			app.Ports = append(app.Ports, port)
		}
		return
	}
	if n.has("service") {
		s.errorf(n.rng("service"), "Unknown service",
			"The manifests have no service %q that selects the pods of app %q.%s",
			app.Service, app.Name, wording.DidYouMean(app.Service, names))
		return
	}
	// No service: the container's ports can be probed by address.
	for _, c := range w.template.Spec.Containers {
		for _, p := range c.Ports {
			port := Port{
				Name: p.Name, Port: int(p.ContainerPort), TargetPort: int(p.ContainerPort),
				Protocol: string(p.Protocol),
			}
			if port.Name == "" {
				port.Name = fmt.Sprintf("port-%d", p.ContainerPort)
			}
			if port.Protocol == "" {
				port.Protocol = "TCP"
			}
			app.Ports = append(app.Ports, port)
		}
	}
}

func serviceType(svc *corev1.Service) ServiceType {
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return ServiceHeadless
	}
	return cmp.Or(ServiceType(svc.Spec.Type), ServiceClusterIP)
}

func targetPort(p corev1.ServicePort, pod corev1.PodSpec) int {
	if p.TargetPort.StrVal != "" {
		for _, c := range pod.Containers {
			for _, cp := range c.Ports {
				if cp.Name == p.TargetPort.StrVal {
					return int(cp.ContainerPort)
				}
			}
		}
	}
	if p.TargetPort.IntVal != 0 {
		return int(p.TargetPort.IntVal)
	}
	return int(p.Port)
}

// containerPortName names a service's port that has no name of its own.
func containerPortName(port Port, pod corev1.PodSpec) string {
	for _, c := range pod.Containers {
		for _, p := range c.Ports {
			if int(p.ContainerPort) == port.TargetPort && p.Name != "" {
				return p.Name
			}
		}
	}
	return fmt.Sprintf("port-%d", port.Port)
}
