package hubble

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Pods are pods of a workload, or those whose names begin alike.
type Pods struct {
	Namespace string
	Kind      string // of the workload; empty: Name is a prefix of the pods' names
	Name      string
}

// suffixes are what each kind of workload adds to its name for its pods.
var suffixes = map[string]string{
	"Pod":                   "",
	"Deployment":            "-[a-z0-9]+-[a-z0-9]{5}",
	"ReplicaSet":            "-[a-z0-9]{5}",
	"ReplicationController": "-[a-z0-9]{5}",
	"DaemonSet":             "-[a-z0-9]{5}",
	"StatefulSet":           "-[0-9]+",
	"Job":                   "(-[0-9]+)?-[a-z0-9]{5}",
	"CronJob":               "-[0-9]+(-[0-9]+)?-[a-z0-9]{5}",
}

// expression is true in CEL for flows whose end, "source" or "destination", is one of the pods. Hubble knows the
// workload of a pod only on the node where the pod is; elsewhere the name that the workload gave it decides.
func (p Pods) expression(end string) string {
	end = "_flow." + end
	in := fmt.Sprintf("%s.namespace == %s", end, strconv.Quote(p.Namespace))
	if p.Kind == "" {
		return fmt.Sprintf("%s && %s.pod_name.startsWith(%s)", in, end, strconv.Quote(p.Name))
	}
	named := fmt.Sprintf("%s.pod_name.matches(%s)", end,
		strconv.Quote("^"+regexp.QuoteMeta(p.Name)+suffixes[p.Kind]+"$"))
	if p.Kind == "Pod" {
		return in + " && " + named // Hubble knows no workload of it anywhere
	}
	return fmt.Sprintf("%s && (%s.workloads.exists(w, w.kind == %s && w.name == %s) || size(%s.workloads) == 0 && %s)",
		in, end, strconv.Quote(p.Kind), strconv.Quote(p.Name), end, named)
}

// anyOf is true for flows of which one of the ends is one of the pods.
func anyOf(pods []Pods, ends ...string) string {
	var parts []string
	for _, p := range pods {
		for _, end := range ends {
			parts = append(parts, "("+p.expression(end)+")")
		}
	}
	return strings.Join(parts, " || ")
}
