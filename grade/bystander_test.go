package grade_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/grade/gradetest"
)

// The account of a miss says of the task's policies why they do not apply.
func TestBystanders(t *testing.T) {
	t.Parallel()
	const nodeAgent = `
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: default, labels: {app: agent}}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
---
`
	tests := []struct {
		name   string
		checks string
		first  []string
		task   []string
		want   string // a sentence of the first miss
		not    string
	}{
		{
			name: "blocked, other pods", checks: webReachesAPI, first: []string{policyIn("default", "closed", closeAPI)},
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)},
			want: "NetworkPolicy default/p (t/a.yaml:1) does not apply here: it is about the ingress of default/web, not about the ingress of default/api.",
		},
		{
			name: "open, by a rule of the task: no word of the open side, which the task is not about", checks: nobodyReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {}}]}]}`)},
			want: "Ingress to default/api is allowed by spec.ingress[0].from[0]", not: "Egress from default/web",
		},
		{
			name: "open, by an earlier rule: the other side may be the one to close", checks: webReachesNobody,
			first: []string{policyIn("default", "in", apiFromWeb)},
			task:  []string{np(`{podSelector: {matchLabels: {app: web}}}`)},
			want:  "Egress from default/web is open",
		},
		{
			name: "open, by an earlier rule, and the task's policy is for another pod", checks: webReachesNobody,
			first: []string{policyIn("default", "in", apiFromWeb)},
			task:  []string{policyIn("ops", "p", `{podSelector: {}, policyTypes: [Egress]}`)},
			want:  "Egress from default/web is open",
		},
		{
			name: "blocked, the other direction", checks: webReachesAPIByIP, first: []string{policyIn("default", "closed", closeWeb)},
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)},
			want: "does not apply here: it is about the ingress of default/web, not about the egress of default/web.",
		},
		{
			name: "blocked, no pod", checks: webReachesAPI, first: []string{policyIn("default", "closed", closeAPI)},
			task: []string{np(`{podSelector: {matchLabels: {app: ipa}}, policyTypes: [Ingress]}`)},
			want: "NetworkPolicy default/p (t/a.yaml:1) does not apply here: it selects no pod.",
		},
		{
			name: "blocked, pods on the host network", checks: webReachesAPI, first: []string{policyIn("default", "closed", closeAPI)},
			task: []string{np(`{podSelector: {matchLabels: {app: agent}}, policyTypes: [Ingress]}`)},
			want: "it selects only pods on the host network (default/agent), which policies for pods do not govern.",
		},
		{
			name: "open, other pods", checks: nobodyReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{ports: [{port: 1}]}]}`)},
			want: "does not apply here: it is about the ingress and egress of default/web, not about the egress of ops/watch or the ingress of default/api.",
		},
		{
			name: "open, another policy allows it", checks: onlyWatchReachesAPI,
			first: []string{policyIn("default", "broad", `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {}}]}]}`)},
			task:  []string{np(apiFromWeb)},
			want:  "NetworkPolicy default/p (t/a.yaml:1) selects default/api, too, but policies only add: it takes nothing away from what another one allows.",
		},
		{
			name: "a policy that the account names already", checks: webReachesAPI,
			task: []string{np(closeAPI)},
			not:  "does not apply here",
		},
		{
			name: "nothing was applied in this task", checks: nobodyReachesAPI, first: []string{policyIn("ops", "closed", closeAPI)},
			not: "does not apply here",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lab := gradetest.Load(t, fstest.MapFS{
				"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", tt.checks, 1))},
				"api.yaml": {Data: []byte(nodeAgent + apiManifests)},
			})
			files := fstest.MapFS{"answers": {Mode: os.ModeDir}}
			files["answers/first/a.yaml"] = &fstest.MapFile{Data: []byte(strings.Join(tt.first, "---\n"))}
			files["answers/t/a.yaml"] = &fstest.MapFile{Data: []byte(strings.Join(tt.task, "---\n"))}
			var told []string
			for _, c := range missed(gradeFS(t, lab, files, "answers")) {
				told = append(told, c.Why.Text...)
			}
			text := strings.Join(told, "\n")
			if !strings.Contains(text, tt.want) || tt.not != "" && strings.Contains(text, tt.not) || len(told) == 0 {
				t.Errorf("%s\nwant %q, not %q", text, tt.want, tt.not)
			}
		})
	}
}
