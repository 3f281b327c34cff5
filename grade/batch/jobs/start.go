package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// JobExistsError says that a Job of this name works on something else.
type JobExistsError struct {
	Namespace, Name string
	Run             string // its run; empty: labctl did not create the Job
}

func (e *JobExistsError) Error() string {
	if e.Run == "" {
		return fmt.Sprintf("Job %s/%s exists and was not created by labctl", e.Namespace, e.Name)
	}
	return fmt.Sprintf("Job %s/%s is working on another run, %s", e.Namespace, e.Name, e.Run)
}

// ErrNoJob is FindJob's error for a Job that does not exist, perhaps not any more.
var ErrNoJob = errors.New("there is no Job")

// Start makes the Job and its NetworkPolicy, and lets it run. A Job of this name that has ended is taken away
// first; one that still runs for the same run is left as it is, and for another run it is an error.
func (s *JobSpec) Start(ctx context.Context, client kubernetes.Interface) (*batchv1.Job, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	jobs := client.BatchV1().Jobs(s.Namespace)
	old, err := jobs.Get(ctx, s.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("look for the Job %s/%s: %w", s.Namespace, s.Name, err)
	case old.Annotations[annotationRun] == "":
		return nil, &JobExistsError{Namespace: s.Namespace, Name: s.Name}
	case StateOf(old).Ended:
		if err := remove(ctx, client, old); err != nil {
			return nil, err
		}
	case old.Annotations[annotationRun] == s.Run.ID && old.DeletionTimestamp == nil:
		return old, s.release(ctx, client, old)
	default:
		return nil, &JobExistsError{s.Namespace, s.Name, old.Annotations[annotationRun]}
	}
	job, err := jobs.Create(ctx, s.Job(), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return nil, fmt.Errorf("create the Job %s/%s: %w", s.Namespace, s.Name, err)
	}
	return job, s.release(ctx, client, job)
}

// release makes the NetworkPolicy, which goes with the job, and lets the job run.
func (s *JobSpec) release(ctx context.Context, client kubernetes.Interface, job *batchv1.Job) error {
	np := s.NetworkPolicy()
	np.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	policies := client.NetworkingV1().NetworkPolicies(s.Namespace)
	_, err := policies.Create(ctx, np, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var old *networkingv1.NetworkPolicy
		if old, err = policies.Get(ctx, np.Name, metav1.GetOptions{}); err == nil {
			np.ResourceVersion = old.ResourceVersion
			_, err = policies.Update(ctx, np, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("create the NetworkPolicy %s/%s: %w", s.Namespace, s.Name, err)
	}
	if s.Queue != "" || job.Spec.Suspend == nil || !*job.Spec.Suspend {
		return nil
	}
	if _, err := client.BatchV1().Jobs(s.Namespace).Patch(ctx, job.Name, types.MergePatchType,
		[]byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("let the Job %s/%s run: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// FindJob reads a Job that Start has made.
func FindJob(ctx context.Context, client kubernetes.Interface, namespace, name string) (
	job *batchv1.Job, run, destination string, err error) {
	job, err = client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, "", "", fmt.Errorf("%w %s/%s", ErrNoJob, namespace, name)
	}
	if err != nil {
		return nil, "", "", fmt.Errorf("read the Job %s/%s: %w", namespace, name, err)
	}
	run, destination = job.Annotations[annotationRun], job.Annotations[annotationDestination]
	if run == "" {
		return nil, "", "", fmt.Errorf("the Job %s/%s was not created by labctl", namespace, name)
	}
	return job, run, destination, nil
}

// Cancel deletes the Job with its pods and its NetworkPolicy. What is graded stays in the destination.
func Cancel(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	job, _, _, err := FindJob(ctx, client, namespace, name)
	if err != nil {
		return err
	}
	return remove(ctx, client, job)
}

// remove deletes a job and waits until it and its pods are gone.
func remove(ctx context.Context, client kubernetes.Interface, job *batchv1.Job) error {
	jobs := client.BatchV1().Jobs(job.Namespace)
	err := jobs.Delete(ctx, job.Name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationForeground), Preconditions: &metav1.Preconditions{UID: &job.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, removeWait,
		fmt.Errorf("the Job %s/%s is still being deleted after %s", job.Namespace, job.Name, removeWait))
	defer cancel()
	for {
		got, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && got.UID != job.UID:
			return nil
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("delete the Job %s/%s: %w", job.Namespace, job.Name, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

const removeWait = time.Minute

// State is what a Job's status says.
type State struct {
	Active, Ready int
	Succeeded     int // shards that are done
	FailedShards  string
	Suspended     bool
	Ended         bool
	Failed        bool
	Reason        string // of the failure
}

// StateOf reads a Job's status.
func StateOf(job *batchv1.Job) State {
	s := State{Active: int(job.Status.Active), Succeeded: int(job.Status.Succeeded),
		Ready: int(ptr.Deref(job.Status.Ready, 0))}
	s.FailedShards = ptr.Deref(job.Status.FailedIndexes, "")
	s.Suspended = ptr.Deref(job.Spec.Suspend, false)
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			s.Ended = true
		case batchv1.JobFailed:
			s.Ended, s.Failed, s.Reason = true, true, c.Message
		}
	}
	return s
}

// Trouble says what keeps pods of a Job from working, and how those have ended that failed, each reason once.
func Trouble(ctx context.Context, client kubernetes.Interface, namespace, name string) ([]string, error) {
	pods, err := client.CoreV1().Pods(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + name, Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("look for the pods of the Job %s/%s: %w", namespace, name, err)
	}
	var reasons []string
	seen := map[string]bool{}
	add := func(shard, reason string) {
		if reason = strings.TrimSpace(reason); reason != "" && !seen[reason] {
			seen[reason] = true
			reasons = append(reasons, fmt.Sprintf("shard %s: %s", shard, reason))
		}
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		shard := p.Annotations[batchv1.JobCompletionIndexAnnotation]
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				add(shard, "no node can run it: "+c.Message)
			}
		}
		if p.DeletionTimestamp != nil && p.Status.Phase == corev1.PodRunning && time.Since(p.DeletionTimestamp.Time) > 0 {
			add(shard, fmt.Sprintf("its node %s does not respond, so labctl cannot tell whether its worker still "+
				"runs: restart it, or delete it (kubectl delete node %s)",
				p.Spec.NodeName, p.Spec.NodeName))
		}
		for _, c := range p.Status.ContainerStatuses {
			switch {
			case c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating":
				add(shard, c.State.Waiting.Reason+": "+c.State.Waiting.Message)
			case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
				t := c.State.Terminated
				add(shard, fmt.Sprintf("a worker ended with %s, exit code %d: %s", t.Reason, t.ExitCode, t.Message))
			}
		}
	}
	return reasons, nil
}

// Watch calls changed with the job as it is, whenever it changes, until it has ended, is deleted, or ctx ends.
func Watch(ctx context.Context, client kubernetes.Interface, namespace, name string, changed func(*batchv1.Job)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errGone := errors.New("gone")
	see := func(obj any) {
		if job, ok := obj.(*batchv1.Job); ok {
			changed(job)
			if StateOf(job).Ended {
				cancel(nil)
			}
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.BatchV1().RESTClient(), "jobs", namespace,
			fields.OneTermEqualSelector("metadata.name", name)),
		ObjectType: &batchv1.Job{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: see, UpdateFunc: func(_, obj any) { see(obj) }, DeleteFunc: func(any) { cancel(errGone) },
		},
	})
	go informer.RunWithContext(ctx)
	<-ctx.Done()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errGone):
		return fmt.Errorf("the Job %s/%s was deleted", namespace, name)
	case errors.Is(cause, context.Canceled):
		return nil
	default:
		return cause
	}
}
