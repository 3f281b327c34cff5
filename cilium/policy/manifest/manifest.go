// Package manifest reads Kubernetes manifests the way the API server would take them: strictly, with
// every problem of every file reported at once, each with the file and line it stands on.
//
// It knows the kinds that the offline engine needs (see Known) and decodes them into typed values. It
// judges no traffic: package policy does.
package manifest

import (
	"fmt"
	"strings"
)

// File is one file of manifests. Name is what messages show: a slash-separated path relative to what
// the user named, or "-" for standard input.
type File struct {
	Name string
	Data []byte
}

// Object is one Kubernetes object of a file. Value is nil for a kind that is not in Known.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string // "default" where a namespaced object names none; "" for cluster-scoped kinds
	Name       string
	Labels     map[string]string

	File string // File.Name
	Line int    // line of the object's first key, from 1

	// Value is the decoded object:
	//   *networkingv1.NetworkPolicy, *CiliumNetworkPolicy (also for clusterwide), *CiliumCIDRGroup,
	//   *policyv1alpha2.ClusterNetworkPolicy, *corev1.Pod, *corev1.Namespace, *corev1.Service,
	//   *corev1.Node, *discoveryv1.EndpointSlice, *appsv1.Deployment, *appsv1.StatefulSet,
	//   *appsv1.DaemonSet, *appsv1.ReplicaSet, *batchv1.Job.
	Value any

	// JSON is the object as JSON (what CEL assertions and normalisation read).
	JSON []byte

	positions positions
}

// Ref names an object: kind, namespace and name.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Ref returns the object's name.
func (o *Object) Ref() Ref { return Ref{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name} }

// Problem is one thing wrong with a manifest, placed where it stands.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`             // from 1; 0 if the whole file is meant
	Object  string `json:"object,omitempty"` // "NetworkPolicy default/allow-frontend"
	Field   string `json:"field,omitempty"`  // "spec.ingress[0].from[1].podSelector"
	Message string `json:"message"`          // as the API server says it
	Hint    string `json:"hint,omitempty"`   // what to do, "did you mean …"
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Object != "" {
		b.WriteString(p.Object + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is every problem found, in the order of files and lines. It is an error when not empty.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns p as an error, or nil if there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
