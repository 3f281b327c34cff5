// Package render makes the Kubernetes objects of the apps that a lab describes without manifests: those that
// `labctl up` deploys, and that the offline engine takes the cluster to have.
package render

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/labs"
)

// Workload returns what makes an app's pods: a Deployment, DaemonSet, StatefulSet or Pod. Image is that of apps that
// name none, the demo image.
func Workload(app *labs.App, image string) runtime.Object {
	meta := metav1.ObjectMeta{Name: app.Name, Namespace: app.Namespace, Labels: app.Labels}
	selector := &metav1.LabelSelector{MatchLabels: app.Labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app.Labels}, Spec: pod(app, image)}
	replicas := int32(app.Replicas)
	switch app.Kind() {
	case labs.KindDaemonSet:
		return &appsv1.DaemonSet{TypeMeta: typeOf("apps/v1", app), ObjectMeta: meta,
			Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	case labs.KindStatefulSet:
		return &appsv1.StatefulSet{TypeMeta: typeOf("apps/v1", app), ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: selector, Template: template, ServiceName: app.Service,
			PodManagementPolicy: appsv1.ParallelPodManagement, // one that is not ready holds up no other
		}}
	case labs.KindPod:
		return &corev1.Pod{TypeMeta: typeOf("v1", app), ObjectMeta: meta, Spec: template.Spec}
	}
	spec := appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template}
	if app.HostNetwork {
		// A new pod has no place beside the old one, whose port of the node it needs.
		spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	}
	return &appsv1.Deployment{TypeMeta: typeOf("apps/v1", app), ObjectMeta: meta, Spec: spec}
}

func typeOf(version string, app *labs.App) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: app.Kind()}
}

// Service returns an app's Service; nil for an app without ports.
func Service(app *labs.App) *corev1.Service {
	if len(app.Ports) == 0 || app.Service == "" {
		return nil
	}
	spec := corev1.ServiceSpec{Selector: app.Labels}
	switch app.ServiceType {
	case labs.ServiceHeadless:
		spec.ClusterIP = corev1.ClusterIPNone
	case labs.ServiceNodePort, labs.ServiceLoadBalancer:
		spec.Type = corev1.ServiceType(app.ServiceType)
	}
	for _, p := range app.Ports {
		spec.Ports = append(spec.Ports, corev1.ServicePort{
			Name: cmp.Or(p.Name, strings.ToLower(p.Protocol)+"-"+strconv.Itoa(p.Port)),
			Port: int32(p.Port), TargetPort: intstr.FromInt32(int32(p.TargetPort)),
			Protocol: corev1.Protocol(p.Protocol), NodePort: int32(p.NodePort),
		})
	}
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: app.Service, Namespace: app.Namespace, Labels: app.Labels}, Spec: spec,
	}
}

func pod(app *labs.App, image string) corev1.PodSpec {
	second := int64(1) // nothing in the demo apps is worth waiting for
	spec := corev1.PodSpec{
		Containers: containers(app, cmp.Or(app.Image, image)), TerminationGracePeriodSeconds: &second,
		NodeName: app.Node, HostNetwork: app.HostNetwork,
	}
	if app.HostNetwork {
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet // otherwise the node's, which knows no Service
	}
	if app.Kind() == labs.KindDaemonSet {
		spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}
	return spec
}

// containers are what the block says, or one server of the demo image per port.
func containers(app *labs.App, image string) []corev1.Container {
	var list []corev1.Container
	switch {
	case app.Image != "" || len(app.Command) > 0 || len(app.Args) > 0:
		c := container(app, app.Name, image)
		c.Command, c.Args = app.Command, app.Args
		for _, p := range app.Ports {
			c.Ports = append(c.Ports, containerPort(p))
		}
		list = []corev1.Container{c}
	case len(app.Ports) == 0:
		c := container(app, app.Name, image)
		c.Args = []string{"pause"}
		list = []corev1.Container{c}
	default:
		for i, p := range app.Ports {
			name := app.Name
			if i > 0 {
				name += "-" + strconv.Itoa(p.TargetPort)
			}
			c := container(app, name, image)
			serve(&c, app, p, i)
			list = append(list, c)
		}
	}
	if h := app.Readiness; h != nil {
		checked(list, h).ReadinessProbe = healthCheck(h)
	}
	if h := app.Liveness; h != nil {
		checked(list, h).LivenessProbe = healthCheck(h)
	}
	return list
}

// checked is the container that a health check is about: the one that listens on its port, or else the first.
func checked(list []corev1.Container, h *labs.HealthCheck) *corev1.Container {
	for i := range list {
		if h.Port != 0 && slices.ContainsFunc(list[i].Ports, func(p corev1.ContainerPort) bool {
			return int(p.ContainerPort) == h.Port && p.Protocol == corev1.ProtocolTCP
		}) {
			return &list[i]
		}
	}
	return &list[0]
}

func healthCheck(h *labs.HealthCheck) *corev1.Probe {
	p := &corev1.Probe{
		InitialDelaySeconds: int32(h.InitialDelay / time.Second), PeriodSeconds: int32(h.Period / time.Second),
		TimeoutSeconds: int32(h.Timeout / time.Second), FailureThreshold: int32(h.Failures),
	}
	port := intstr.FromInt32(int32(h.Port))
	switch {
	case len(h.Command) > 0:
		p.Exec = &corev1.ExecAction{Command: h.Command}
	case h.Path != "":
		p.HTTPGet = &corev1.HTTPGetAction{Path: h.Path, Port: port}
	default:
		p.TCPSocket = &corev1.TCPSocketAction{Port: port}
	}
	return p
}

// container is a container without command and ports.
func container(app *labs.App, name, image string) corev1.Container {
	c := corev1.Container{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent}
	for _, key := range slices.Sorted(maps.Keys(app.Env)) {
		c.Env = append(c.Env, corev1.EnvVar{Name: key, Value: app.Env[key]})
	}
	return c
}

// serve lets the demo image listen on a port, the app's number-th.
func serve(c *corev1.Container, app *labs.App, p labs.Port, number int) {
	// netexec always has an HTTP port; for another protocol it is one outside the usual range.
	http, udp, sctp := 20000+number, -1, -1
	if app.HostNetwork {
		http = sparePort(app, number)
	}
	switch p.Protocol {
	case "UDP":
		udp = p.TargetPort
	case "SCTP":
		sctp = p.TargetPort
	default:
		http = p.TargetPort
	}
	c.Args = []string{"netexec", "--http-port=" + strconv.Itoa(http), "--udp-port=" + strconv.Itoa(udp)}
	c.Ports = []corev1.ContainerPort{containerPort(p)}
	if sctp > 0 {
		c.Args = append(c.Args, "--sctp-port="+strconv.Itoa(sctp))
	}
	if p.Protocol == "TCP" {
		// netexec's own /readyz waits for its UDP server, which is off.
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(int32(p.TargetPort))},
		}}
	}
}

// sparePort is a port of the node that no other app is likely to have: nodes share theirs among all pods in their
// network.
func sparePort(app *labs.App, number int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(app.Namespace + "/" + app.Name))
	return 20000 + int(h.Sum32()%9000) + number
}

func containerPort(p labs.Port) corev1.ContainerPort {
	return corev1.ContainerPort{
		Name: p.Name, ContainerPort: int32(p.TargetPort), Protocol: corev1.Protocol(p.Protocol),
	}
}
