// Package manifest reads Kubernetes manifests the way the API server would take them: strictly, with
// every problem of every file reported at once, each with its file and line.
//
// It knows the kinds that the offline engine needs (see Known) and decodes them into typed values. It
// judges no traffic: package policy does.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	//   *corev1.Node, *discoveryv1.EndpointSlice, *corev1.Endpoints, *appsv1.Deployment, *appsv1.StatefulSet,
	//   *appsv1.DaemonSet, *appsv1.ReplicaSet, *corev1.ReplicationController, *batchv1.Job, *batchv1.CronJob.
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

// Tree returns a new copy of the object as JSON values, with numbers as json.Number.
func (o *Object) Tree() (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(o.JSON))
	dec.UseNumber()
	var root map[string]any
	if err := dec.Decode(&root); err != nil {
		return nil, fmt.Errorf("decode %s: %w", o.Ref(), err)
	}
	return root, nil
}
