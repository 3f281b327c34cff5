# Submissions with the score that each must get, and the objectives that it must miss and the mistake that its
# report must name: `labctl test` proves it after every change of the lab.
# Those after "nothing-handed-in" are the solution with one mistake in it, the way students make it; as
# policies carry over, a mistake in one task can cost points in later ones.

sample "solution" {
  path        = "samples/solution"
  score       = 100
  description = "What the instructions ask for, filled in."
}

sample "another-way" {
  path        = "samples/another-way"
  score       = 100
  description = "Other names, other selectors, other ways to write it down, the same connections: full marks."
}

sample "all-at-once" {
  path        = "samples/all-at-once"
  score       = 28
  description = "The final policies in one file: only the tasks whose outcome still holds at the end count."
}

sample "nothing-handed-in" {
  path        = "samples/nothing-handed-in"
  score       = 0
  description = "An empty folder: what works without any policy earns nothing."
}

sample "empty-rule-instead-of-none" {
  path        = "samples/empty-rule-instead-of-none"
  score       = 40
  mistake     = "empty-vs-missing"
  description = "\"ingress: [{}]\" where there must be no rule: an empty rule has no condition and lets everybody in."
}

sample "selects-all-pods" {
  path  = "samples/selects-all-pods"
  score = 93
  missed = [
    "backend-ingress-deny/still-egresses",
    "backend-ingress-deny/only-the-backend",
    "allow-frontend/nothing-else-changed",
  ]
  mistake     = "empty-vs-missing"
  description = "The deny policy of task 2 selects every pod of the namespace, not just the backend."
}

sample "both-policy-types" {
  path  = "samples/both-policy-types"
  score = 75
  missed = [
    "backend-ingress-deny/still-egresses",
    "allow-frontend/nothing-else-changed",
    "allow-namespace/within-namespace",
    "allow-monitoring-namespace/only-the-backend",
    "allow-monitoring-pods/nothing-more",
    "frontend-egress-deny/one-direction-one-pod",
    "frontend-egress-backend/only-8080",
  ]
  mistake     = "policy-types-excess"
  description = "policyTypes lists Egress too, so the backend can no longer open a connection."
}

sample "deployment-label" {
  path  = "samples/deployment-label"
  score = 75
  missed = [
    "backend-ingress-deny/isolated",
    "allow-frontend/only-frontend",
  ]
  mistake     = "pod-label-vs-deployment-label"
  description = "The policies select by the Deployment's label, which no pod carries."
}

sample "service-port" {
  path        = "samples/service-port"
  score       = 50
  mistake     = "service-port-vs-target-port"
  description = "The rules name port 80 of the Service instead of 8080 of the pod."
}

sample "label-typo" {
  path        = "samples/label-typo"
  score       = 87
  missed      = ["allow-frontend/only-frontend"]
  mistake     = "selector-selects-nothing"
  description = "The peer is app=fronted: a selector that selects nothing is no error to Kubernetes."
}

sample "no-ports" {
  path  = "samples/no-ports"
  score = 95
  missed = [
    "allow-frontend/only-8080",
    "frontend-egress-backend/only-8080",
  ]
  mistake     = "ports-missing"
  description = "The right peers on every port: everything works, and more than was asked for."
}

sample "allow-all" {
  path        = "samples/allow-all"
  score       = 12
  mistake     = "allows-everything"
  description = "An extra policy that opens everything, put there to make it work."
}

sample "delete-forgotten" {
  path        = "samples/delete-forgotten"
  score       = 98
  missed      = ["allow-namespace/earlier-allow-gone"]
  mistake     = "earlier-policy-still-in-force"
  description = "The rule for the frontend is superseded in task 4, and never deleted."
}

sample "namespace-label-missing" {
  path  = "samples/namespace-label-missing"
  score = 75
  missed = [
    "allow-monitoring-namespace/monitoring-in",
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "namespace-label-missing"
  description = "The policy selects the namespace by a label that nobody put on it."
}

sample "wrong-namespace" {
  path  = "samples/wrong-namespace"
  score = 75
  missed = [
    "allow-monitoring-namespace/monitoring-in",
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "wrong-namespace"
  description = "The policies for the monitoring pods stand in the namespace of the clients, where there is no backend."
}

sample "and-or-peers" {
  path  = "samples/and-or-peers"
  score = 85
  missed = [
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "and-or-peers"
  description = "One dash too many: namespace OR pod, two peers instead of one."
}

sample "narrowed-by-another-policy" {
  path  = "samples/narrowed-by-another-policy"
  score = 85
  missed = [
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "earlier-policy-still-in-force"
  description = "The narrow policy is added beside the broad one instead of replacing it: policies add up."
}

sample "any-namespace" {
  path  = "samples/any-namespace"
  score = 85
  missed = [
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "empty-vs-missing"
  description = "\"namespaceSelector: {}\" with the pods' label: lets in another team's agent."
}

sample "pod-selector-only" {
  path  = "samples/pod-selector-only"
  score = 85
  missed = [
    "allow-monitoring-pods/only-monitoring-pods",
    "backend-egress/nothing-more",
  ]
  mistake     = "own-namespace-only"
  description = "The monitoring pods by podSelector alone, which looks in the policy's own namespace."
}

sample "policy-types-forgotten" {
  path        = "samples/policy-types-forgotten"
  score       = 88
  missed      = ["frontend-egress-deny/isolated"]
  mistake     = "policy-types-forgotten"
  description = "\"egress: []\" without policyTypes: by default that policy is about ingress."
}

sample "ingress-instead-of-egress" {
  path  = "samples/ingress-instead-of-egress"
  score = 85
  missed = [
    "frontend-egress-backend/reaches-backend",
    "allow-dns/by-name",
    "backend-egress/nothing-more",
  ]
  mistake     = "wrong-direction"
  description = "The frontend's way out is written as an ingress rule of the frontend."
}

sample "service-ip" {
  path  = "samples/service-ip"
  score = 85
  missed = [
    "frontend-egress-backend/reaches-backend",
    "allow-dns/by-name",
    "backend-egress/nothing-more",
  ]
  mistake     = "service-ip-in-ipblock"
  description = "An ipBlock with the Services' addresses: they are gone before a policy looks."
}

sample "forgot-dns" {
  path  = "samples/forgot-dns"
  score = 79
  missed = [
    "allow-dns/dns-only",
    "backend-egress/backend-out",
  ]
  mistake     = "dns-forgotten"
  description = "Task 9 is left out: no name resolves once egress is isolated."
}

sample "dns-label-missing" {
  path  = "samples/dns-label-missing"
  score = 79
  missed = [
    "allow-dns/dns-only",
    "backend-egress/backend-out",
  ]
  mistake     = "namespace-label-missing"
  description = "The DNS policy is right, but kube-system does not carry the label."
}

sample "dns-udp-only" {
  path        = "samples/dns-udp-only"
  score       = 98
  missed      = ["allow-dns/over-tcp"]
  mistake     = "dns-only-udp"
  description = "DNS over UDP only, which works until an answer is long."
}

sample "dns-tcp-only" {
  path  = "samples/dns-tcp-only"
  score = 79
  missed = [
    "allow-dns/dns-only",
    "backend-egress/backend-out",
  ]
  mistake     = "dns-only-tcp"
  description = "DNS over TCP only: look-ups begin with UDP and never get there."
}

sample "https-to-everybody" {
  path        = "samples/https-to-everybody"
  score       = 97
  missed      = ["backend-egress/nothing-more"]
  mistake     = "peers-missing"
  description = "Port 443 without \"to\": that is everybody, pods of the cluster included."
}

sample "egress-closed-too" {
  path        = "samples/egress-closed-too"
  score       = 99
  missed      = ["allow-monitoring-namespace/only-the-backend"]
  mistake     = "policy-types-excess"
  description = "The policy that lets monitoring in lists Egress, too, so the backend can no longer open a connection."
}

sample "egress-selects-all-pods" {
  path  = "samples/egress-selects-all-pods"
  score = 94
  missed = [
    "frontend-egress-backend/only-8080",
    "allow-dns/nothing-more",
    "backend-egress/nothing-more",
  ]
  mistake     = "empty-vs-missing"
  description = "The frontend's way out is written for every pod of the namespace: the others reach the backend alone."
}
