package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
)

// brokenError says what is wrong with a cluster that was complete, and what recreating it would delete. An up never
// does that by itself, since the student's work is in it.
func (r *run) brokenError(ctx context.Context, found Found) error {
	st := r.state()
	return fmt.Errorf("cluster %s is %s (%s), and labctl cannot repair it; recreating it deletes %s; to do that, run: %s",
		r.cluster.Name, found.State, found.Detail, r.losses(ctx), st.recreateCommand())
}

// losses lists what the student has in the cluster: policies and namespaces that the lab did not create.
func (r *run) losses(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := r.work(ctx)
	switch {
	case err != nil:
		return "everything in it, which labctl cannot read now"
	case len(list) == 0:
		return "everything in it; it has no policies or namespaces of yours"
	}
	return "everything in it: " + strings.Join(list, ", ")
}

// work names the student's policies and namespaces.
func (r *run) work(ctx context.Context) ([]string, error) {
	client, err := r.kube()
	if err != nil {
		return nil, err
	}
	s, err := r.scope()
	if err != nil {
		return nil, err
	}
	policies, err := scope.Policies(ctx, client)
	if err != nil {
		return nil, err
	}
	var list []string
	for i := range policies {
		if s.Resets(&policies[i]) {
			list = append(list, kube.Ref(&policies[i]))
		}
	}
	st := r.state()
	for _, p := range st.Suspended {
		if !slices.Contains(list, kube.Ref(p)) {
			list = append(list, kube.Ref(p))
		}
	}
	namespaces, err := client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range namespaces.Items {
		name := namespaces.Items[i].Name
		if st.Before != nil && !slices.Contains(st.Before.Namespaces, name) && !slices.Contains(s.Created, name) &&
			name != s.Canary && name != "cilium-secrets" {
			list = append(list, "Namespace "+name)
		}
	}
	return list, nil
}
