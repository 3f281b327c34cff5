package kube

import "testing"

func TestSame(t *testing.T) {
	t.Parallel()
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, resourceVersion: "1", labels: {app: web}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True", lastProbeTime: x}]}}`
	for _, tc := range []struct {
		name, now string
		want      bool
	}{
		{"a heartbeat", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, resourceVersion: "2", labels: {app: web}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True", lastProbeTime: y}]}}`, true},
		{"another label", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, labels: {app: api}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}}`, false},
		{"made anew", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: b, labels: {app: web}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}}`, false},
		{"going", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, deletionTimestamp: "2026-01-01T00:00:00Z", labels: {app: web}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}}`, false},
		{"no longer ready", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, labels: {app: web}}, spec: {nodeName: n}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "False"}]}}`, false},
		{"another spec", `{apiVersion: v1, kind: Pod, metadata: {name: web, uid: a, labels: {app: web}}, spec: {nodeName: m}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := same(object(t, pod), object(t, tc.now)); got != tc.want {
				t.Errorf("same: %v, want %v", got, tc.want)
			}
		})
	}
}
