package jobs

import (
	"fmt"
	"path"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/labctl/labctl/grade/batch/intake"
)

// JobSpec says how the workers of a run are to be started.
type JobSpec struct {
	Name      string
	Namespace string
	Image     string
	// Parallelism is how many shards are graded at the same time.
	Parallelism int
	Retries     int // of a shard
	// FinalExitCode is the exit code with which a worker says that another try would fail too: a usage error,
	// a lab with errors, another version, no permission. Any other failure is retried. The Go runtime must
	// not use it: a crash exits with 2.
	FinalExitCode int32
	Memory, CPU   resource.Quantity
	Queue         string // of Kueue, which then says when the job begins; "": none
	Secret        string // whose entries are environment variables of the workers, and files in SecretPath; "": none
	// VolumeClaim is mounted at VolumePath, for file:// URLs; "": none.
	VolumeClaim string
	VolumePath  string
	TTL         int32 // how many seconds the job is kept when it has ended

	Run         *Run
	Destination string   // its URL
	Egress      []Egress // what workers may reach beside DNS
}

// Egress is a place that workers may connect to: addresses or, with pods, the pods behind a service.
type Egress struct {
	CIDR      string
	Except    []string
	Namespace string
	Pods      map[string]string
	Port      intstr.IntOrString
}

// What a Job of labctl bears.
const (
	// SecretPath is where the files of the secret are.
	SecretPath = "/var/run/secrets/labctl"

	labelManaged          = "app.kubernetes.io/managed-by"
	labelName             = "app.kubernetes.io/name"
	annotationRun         = "labctl.dev/run"
	annotationDestination = "labctl.dev/destination"
	labelQueue            = "kueue.x-k8s.io/queue-name"

	user          = 65532 // nobody's: images without users call it nonroot
	containerName = "worker"
	scratch       = "/tmp"
	// bytesOnDisk is what the files of one submission take at most in a worker's scratch space; ours are some 150 KB.
	bytesOnDisk = 512 << 10
)

// SpecError says what is wrong with a field of a JobSpec, or with its plan (Source, Shards).
type SpecError struct {
	Field string
	Err   error
}

func (e *SpecError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *SpecError) Unwrap() error { return e.Err }

func specError(field, format string, args ...any) error {
	return &SpecError{field, fmt.Errorf(format, args...)}
}

// Check refuses what the API server would refuse, or accept and never start. Its errors are *SpecErrors.
func (s *JobSpec) Check() error {
	// The hostname of a pod is the job's name with an index of up to five digits.
	if problems := validation.IsDNS1123Label(s.Name); len(problems) > 0 || len(s.Name) > 57 {
		return specError("Name", "%q must be at most 57 lowercase letters, digits and dashes, such as week-3", s.Name)
	}
	if s.Image == "" {
		return specError("Image", "must name an image with labctl %s (docs/scale.md shows how to build one)",
			s.Run.Plan.Tool)
	}
	if s.Parallelism < 1 {
		return specError("Parallelism", "%d must be at least 1", s.Parallelism)
	}
	if n := len(s.Run.Plan.Shards); n > 100_000 {
		return specError("Shards", "%d is too many: a Job has at most 100000 indexes", n)
	}
	for _, url := range []string{s.Run.Plan.Source, s.Destination} {
		local, ok := intake.LocalPath(url)
		switch {
		case !ok:
		case s.VolumeClaim == "":
			return specError("VolumeClaim", "pods cannot reach %s: name the volume that it is on, or use object "+
				"storage", url)
		case local != path.Clean(s.VolumePath) && !strings.HasPrefix(local, path.Clean(s.VolumePath)+"/"):
			return specError("VolumePath", "%s is not on the volume, which is mounted at %s", url, s.VolumePath)
		}
	}
	return nil
}

func (s *JobSpec) labels() map[string]string {
	return map[string]string{labelName: "labctl-batch", labelManaged: "labctl"}
}

// Job is the Indexed Job: an index a shard. It is suspended, so that nothing runs before its NetworkPolicy is
// there; with a queue it is Kueue that resumes it.
func (s *JobSpec) Job() *batchv1.Job {
	shards := int32(len(s.Run.Plan.Shards))
	job := &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: s.Namespace, Labels: s.labels(),
			Annotations: map[string]string{annotationRun: s.Run.ID, annotationDestination: s.Destination},
		},
		Spec: batchv1.JobSpec{
			CompletionMode:          ptr.To(batchv1.IndexedCompletion),
			Completions:             ptr.To(shards),
			Parallelism:             ptr.To(min(int32(s.Parallelism), shards)),
			Suspend:                 ptr.To(true),
			BackoffLimitPerIndex:    ptr.To(int32(s.Retries)),
			TTLSecondsAfterFinished: ptr.To(s.TTL),
			// The first rule that matches counts.
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
				{
					// A drained or preempted node is not the worker's fault.
					Action: batchv1.PodFailurePolicyActionIgnore,
					OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{
						Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
					}},
				},
				{
					Action: batchv1.PodFailurePolicyActionFailIndex,
					OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
						ContainerName: ptr.To(containerName), Operator: batchv1.PodFailurePolicyOnExitCodesOpIn,
						Values: []int32{s.FinalExitCode},
					},
				},
			}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: s.labels()},
				Spec:       s.pod(),
			},
		},
	}
	if s.Queue != "" {
		job.Labels[labelQueue] = s.Queue
	}
	return job
}

func (s *JobSpec) pod() corev1.PodSpec {
	largest := 0
	for _, n := range s.Run.Plan.Shards {
		largest = max(largest, n)
	}
	disk := resource.NewQuantity(256<<20+int64(largest)*bytesOnDisk, resource.BinarySI)
	limits := corev1.ResourceList{corev1.ResourceMemory: s.Memory, corev1.ResourceCPU: s.CPU}
	pod := corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		AutomountServiceAccountToken: ptr.To(false),
		EnableServiceLinks:           ptr.To(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(int64(user)), RunAsGroup: ptr.To(int64(user)),
			FSGroup:        ptr.To(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		// A node that is gone is not waited for five minutes, the default: another one can have its shards.
		Tolerations: []corev1.Toleration{gone(corev1.TaintNodeNotReady), gone(corev1.TaintNodeUnreachable)},
		Containers: []corev1.Container{{
			Name:            containerName,
			Image:           s.Image,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Command:         []string{"/labctl"},
			Args:            []string{"batch", "work", s.Destination, "--run", s.Run.ID},
			Env: []corev1.EnvVar{
				{Name: "HOME", Value: scratch},
				{Name: "TMPDIR", Value: scratch},
				// The collector works harder before the limit is reached, which would be the end.
				{Name: "GOMEMLIMIT", Value: fmt.Sprint(s.Memory.Value() / 10 * 9)},
				// Without a secret there are no credentials: nobody is to wait for an answer that the network
				// policy stops.
				{Name: "AWS_EC2_METADATA_DISABLED", Value: "true"},
			},
			Resources: corev1.ResourceRequirements{Requests: limits, Limits: limits},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Privileged: ptr.To(false), RunAsNonRoot: ptr.To(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			VolumeMounts:             []corev1.VolumeMount{{Name: "scratch", MountPath: scratch}},
		}},
		Volumes: []corev1.Volume{{Name: "scratch",
			VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: disk}}}},
	}
	c := &pod.Containers[0]
	if s.Secret != "" {
		secret := corev1.LocalObjectReference{Name: s.Secret}
		c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: secret}}}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "credentials", MountPath: SecretPath,
			ReadOnly: true})
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "credentials", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: s.Secret, DefaultMode: ptr.To(int32(0o440))},
		}})
	}
	if s.VolumeClaim != "" {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "class", MountPath: s.VolumePath})
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "class", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: s.VolumeClaim},
		}})
	}
	return pod
}

// goneAfter is how many seconds a worker stays bound to a node that does not answer.
const goneAfter = 60

func gone(taint string) corev1.Toleration {
	return corev1.Toleration{
		Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute,
		TolerationSeconds: ptr.To(int64(goneAfter)),
	}
}

// NetworkPolicy lets nothing reach the workers, and them nothing but DNS and the storage.
func (s *JobSpec) NetworkPolicy() *networkingv1.NetworkPolicy {
	udp, tcp := corev1.ProtocolUDP, corev1.ProtocolTCP
	dns := intstr.FromInt32(53)
	np := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: s.labels()},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{batchv1.JobNameLabel: s.Name}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{
				To: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: &metav1.LabelSelector{
						MatchLabels: map[string]string{corev1.LabelMetadataName: metav1.NamespaceSystem},
					},
					PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
				}},
				Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}, {Protocol: &tcp, Port: &dns}},
			}},
		},
	}
	for _, e := range s.Egress {
		peer := networkingv1.NetworkPolicyPeer{}
		if e.CIDR != "" {
			peer.IPBlock = &networkingv1.IPBlock{CIDR: e.CIDR, Except: e.Except}
		} else {
			peer.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: e.Namespace}}
			peer.PodSelector = &metav1.LabelSelector{MatchLabels: e.Pods}
		}
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{
			To:    []networkingv1.NetworkPolicyPeer{peer},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &e.Port}},
		})
	}
	return np
}
