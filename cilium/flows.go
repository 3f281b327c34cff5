package cilium

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// agents lists the pods of the agents.
func agents(ctx context.Context, client *kube.Client) ([]corev1.Pod, error) {
	list, err := client.Typed.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=cilium"})
	if err != nil {
		return nil, fmt.Errorf("list Cilium's agents: %w", err)
	}
	return list.Items, nil
}

// SawDrop reports whether Hubble has recently seen a policy drop from one pod to another. It asks the agents, since
// the relay starts later and may not exist.
func SawDrop(ctx context.Context, client *kube.Client, from, to string) (bool, error) {
	pods, err := agents(ctx, client)
	if err != nil {
		return false, err
	}
	var failed error
	for i := range pods {
		out, err := client.Exec(ctx, kube.Pod{Namespace: Namespace, Name: pods[i].Name, Container: "cilium-agent"}, nil,
			"hubble", "observe", "--from-pod", from, "--to-pod", to, "--verdict", "DROPPED", "--last", "20",
			"-o", "jsonpb")
		if err != nil {
			failed = err
			continue
		}
		if out.Code != 0 {
			failed = fmt.Errorf("hubble observe in %s: %s", pods[i].Name, bytes.TrimSpace(out.Stderr))
			continue
		}
		for line := range bytes.Lines(out.Stdout) {
			var flow struct {
				Flow struct {
					Reason string `json:"drop_reason_desc"`
				} `json:"flow"`
			}
			if json.Unmarshal(line, &flow) == nil &&
				(flow.Flow.Reason == "POLICY_DENIED" || flow.Flow.Reason == "POLICY_DENY") {
				return true, nil
			}
		}
	}
	return false, failed
}
