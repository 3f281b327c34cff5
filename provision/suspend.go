package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
)

// restoreTimeout is how long restoring policies may take after an interruption.
const restoreTimeout = time.Minute

// withoutPolicies does something while none of the student's policies is in force. They are saved in the state before
// they are deleted, so that the next up restores them if this one is killed.
func (r *run) withoutPolicies(ctx context.Context, client *kube.Client, p *progress, do func() error) (err error) {
	policies, err := r.policiesInForce(ctx, client)
	if err != nil {
		return err
	}
	if len(policies)+len(r.state().Suspended) == 0 {
		return do()
	}
	if err := r.suspend(policies); err != nil {
		return err
	}
	p.stepf("suspending %s meanwhile", plural(len(r.state().Suspended), "policy"))
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*restoreTimeout)
		defer cancel()
		err = errors.Join(err, r.restorePolicies(ctx, client, p))
	}()
	var names []cilium.PolicyName
	for _, obj := range policies {
		if err := client.Delete(ctx, obj); err != nil {
			return err
		}
		names = append(names, policyName(obj))
	}
	if err := cilium.AwaitPolicyRemoval(ctx, client, names, r.m.Settings.Timeouts.Cilium); err != nil {
		return err
	}
	return do()
}

// policiesInForce are the policies that a student, or a grading, has put into the lab. A *scope.DisturbedError names
// those of others that apply to the lab.
func (r *run) policiesInForce(ctx context.Context, client *kube.Client) ([]*unstructured.Unstructured, error) {
	s, err := r.scope()
	if err != nil {
		return nil, err
	}
	list, err := scope.Policies(ctx, client)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for i := range list {
		if p := &list[i]; s.Resets(p) && manifest.Isolates(p.GetKind()) {
			out = append(out, p)
		}
	}
	return out, s.Undisturbed(ctx, client, list, false)
}

// suspend saves policies in the state. One that an interrupted run has saved is replaced by the one of its name that is
// in the cluster now, which is newer.
func (r *run) suspend(policies []*unstructured.Unstructured) error {
	return r.save(func(st *State) {
		kept := slices.DeleteFunc(slices.Clone(st.Suspended), func(old *unstructured.Unstructured) bool {
			return slices.ContainsFunc(policies, func(p *unstructured.Unstructured) bool { return sameObject(old, p) })
		})
		for _, p := range policies {
			p = p.DeepCopy()
			for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp"} {
				unstructured.RemoveNestedField(p.Object, "metadata", field)
			}
			unstructured.RemoveNestedField(p.Object, "status")
			kept = append(kept, p)
		}
		st.Suspended = kept
	})
}

// restorePolicies puts the suspended policies back. One that the student has created again meanwhile stays.
func (r *run) restorePolicies(ctx context.Context, client *kube.Client, p *progress) error {
	suspended := r.state().Suspended
	if len(suspended) == 0 {
		return nil
	}
	p.stepf("restoring %s", plural(len(suspended), "policy"))
	var gone []cilium.PolicyName
	for _, obj := range suspended {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return err
		}
		if live == nil {
			gone = append(gone, policyName(obj))
		}
	}
	if err := cilium.AwaitPolicyRemoval(ctx, client, gone, restoreTimeout); err != nil {
		return err
	}
	for _, obj := range suspended {
		manager, apply := managerOf(obj)
		obj = obj.DeepCopy()
		unstructured.RemoveNestedField(obj.Object, "metadata", "managedFields")
		err := client.CreateAs(ctx, manager, apply, obj)
		if apierrors.IsAlreadyExists(err) {
			p.warnf("%s was created again meanwhile, and is not replaced", kube.Ref(obj))
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%w; the policies are saved, and the next up restores them: %s", err,
				r.inst.State.upCommand())
		}
		done := obj
		err = r.save(func(st *State) {
			st.Suspended = slices.DeleteFunc(slices.Clone(st.Suspended),
				func(o *unstructured.Unstructured) bool { return sameObject(o, done) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func policyName(obj *unstructured.Unstructured) cilium.PolicyName {
	return cilium.PolicyName{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// managerOf is who wrote a policy, and whether by server-side apply: so that the student's next kubectl apply finds the
// fields as its own.
func managerOf(obj *unstructured.Unstructured) (manager string, apply bool) {
	for _, f := range obj.GetManagedFields() {
		if f.Subresource == "" {
			return f.Manager, f.Operation == metav1.ManagedFieldsOperationApply
		}
	}
	return kube.FieldManager, false
}
