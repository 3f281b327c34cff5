package policy_test

import (
	"fmt"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

func Example() {
	files := []manifest.File{{Name: "shop.yaml", Data: []byte(`
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: shop}}
`)}}
	objs, problems := manifest.Parse(files, manifest.Limits{})
	if problems.Err() != nil {
		fmt.Println(problems)
		return
	}
	cluster, problems := policy.NewCluster(objs, policy.Config{})
	if problems.Err() != nil {
		fmt.Println(problems)
		return
	}
	var policies []*policy.Policy
	for _, o := range objs {
		if policy.IsPolicy(o) {
			p, problems := policy.Compile(o, policy.Config{})
			if problems.Err() != nil {
				fmt.Println(problems)
				return
			}
			policies = append(policies, p)
		}
	}
	engine := policy.New(cluster, policies, nil)
	result, err := engine.Explain(policy.Probe{From: "default/web", To: "default/db", Port: 5432})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Verdict)
	for _, n := range result.Ingress.Near {
		fmt.Printf("%s:%d: %s\n", n.File, n.Line, n.Why)
	}
	// Output:
	// dropped
	// shop.yaml:19: the rule admits pods with app=shop in namespace default; web has app=web
}
