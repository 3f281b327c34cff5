package scope

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
)

// Mutator is an object of the cluster by which others change when they are applied.
type Mutator struct {
	Ref    string // "MutatingWebhookConfiguration istio-sidecar-injector"
	UID    types.UID
	Digest string // of what it does
	groups []string
	// itself says that the API server calls itself, at a loopback address.
	itself bool
}

// Mutators lists what can change objects when they are applied: webhooks and, if the cluster has the kind, policies.
func Mutators(ctx context.Context, client *kube.Client) ([]Mutator, error) {
	api := client.Typed.AdmissionregistrationV1()
	webhooks, err := api.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	var all []Mutator
	for i := range webhooks.Items {
		all = append(all, webhook(&webhooks.Items[i]))
	}
	policies, err := api.MutatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list admission policies: %w", err)
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		m := Mutator{Ref: "MutatingAdmissionPolicy " + p.Name, UID: p.UID, Digest: digest(p.Spec)}
		if p.Spec.MatchConstraints != nil {
			for _, r := range p.Spec.MatchConstraints.ResourceRules {
				m.groups = append(m.groups, r.APIGroups...)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

func webhook(c *admissionv1.MutatingWebhookConfiguration) Mutator {
	m := Mutator{Ref: "MutatingWebhookConfiguration " + c.Name, UID: c.UID, itself: true}
	var does []admissionv1.MutatingWebhook
	for _, w := range c.Webhooks {
		m.itself = m.itself && loopback(w.ClientConfig.URL)
		for _, r := range w.Rules {
			m.groups = append(m.groups, r.APIGroups...)
		}
		w.ClientConfig.CABundle = nil // its owner renews it
		does = append(does, w)
	}
	m.Digest = digest(does)
	return m
}

func loopback(address *string) bool {
	if address == nil {
		return false
	}
	u, err := url.Parse(*address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))[:16]
}

// MayFalsify says whether a Mutator can change what is graded, and came with the student. What was in the cluster before
// the lab, and is as it was, is the platform's. So is what a managed control plane calls on itself, which a cloud may
// also add later: no user of the cluster can run anything there.
func (s *Scope) MayFalsify(m *Mutator) bool {
	if was, ok := s.Mutators[string(m.UID)]; ok && was == m.Digest || s.Managed && m.itself {
		return false
	}
	return slices.ContainsFunc(m.groups, gradedGroup)
}

// gradedGroup says whether a rule for an API group covers what a lab or a submission consists of.
func gradedGroup(group string) bool {
	switch group {
	case "*", "", "apps", "batch":
		return true
	}
	return slices.ContainsFunc(PolicyKinds(), func(kind schema.GroupVersionResource) bool { return kind.Group == group })
}
