package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// dumpedMetadata is what a server adds to the metadata of every object.
const dumpedMetadata = `    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"x","kind":"y","metadata":{"annotations":{},"name":"x"},"spec":{},"status":{"unknown":1}}
    creationTimestamp: "2026-09-01T08:00:00Z"
    deletionGracePeriodSeconds: 30
    deletionTimestamp: "2026-09-01T09:00:00Z"
    finalizers:
    - example.com/protect
    generateName: x-
    generation: 2
    labels:
      app: x
    managedFields:
    - apiVersion: v1
      fieldsType: FieldsV1
      fieldsV1:
        f:metadata:
          f:annotations:
            .: {}
            f:kubectl.kubernetes.io/last-applied-configuration: {}
        f:spec:
          f:containers:
            k:{"name":"x"}:
              .: {}
              f:ports:
                k:{"containerPort":80,"protocol":"TCP"}:
                  .: {}
                  f:containerPort: {}
          v:"a": {}
      manager: kubectl-client-side-apply
      operation: Update
      subresource: status
      time: "2026-09-01T08:00:00Z"
    name: x
    ownerReferences:
    - apiVersion: apps/v1
      blockOwnerDeletion: true
      controller: true
      kind: ReplicaSet
      name: x-5d4f
      uid: 11111111-2222-3333-4444-555555555555
    resourceVersion: "4711"
    selfLink: /apis/x
    uid: 11111111-2222-3333-4444-555555555555
`

const dumpedTemplate = `    template:
      metadata:
        creationTimestamp: null
        labels:
          app: x
      spec:
        containers:
        - image: nginx
          imagePullPolicy: Always
          name: x
          ports:
          - containerPort: 80
            name: http
            protocol: TCP
          resources: {}
          terminationMessagePath: /dev/termination-log
          terminationMessagePolicy: File
        dnsPolicy: ClusterFirst
        restartPolicy: Always
        schedulerName: default-scheduler
        securityContext: {}
        terminationGracePeriodSeconds: 30
`

const dumpedConditions = `    conditions:
    - lastTransitionTime: "2026-09-01T08:00:00Z"
      lastUpdateTime: "2026-09-01T08:00:00Z"
      message: fine
      reason: Fine
      status: "True"
      type: Ready
    fieldOfANewerVersion: {a: [1, 2, {b: c}]}
    observedGeneration: 2
`

// dumps are the spec and status of each kind, as `kubectl get -o yaml` prints them.
var dumps = map[string]string{
	"networking.k8s.io/v1 NetworkPolicy": `  spec:
    ingress:
    - from:
      - podSelector: {}
      ports:
      - port: 80
        protocol: TCP
    podSelector: {}
    policyTypes:
    - Ingress
  status: {}
`,
	"cilium.io/v2 CiliumNetworkPolicy": `  spec:
    endpointSelector:
      matchLabels:
        app: x
    ingress:
    - fromEndpoints:
      - matchLabels:
          app: client
  status:
    derivativePolicies:
      a: {error: "", lastUpdated: "2026-09-01T08:00:00Z", localPolicyRevision: 3, nodes: {n: {ok: true}}}
` + dumpedConditions,
	"cilium.io/v2 CiliumClusterwideNetworkPolicy": `  specs:
  - endpointSelector: {}
    egress:
    - toEntities:
      - cluster
  status:
` + dumpedConditions,
	"cilium.io/v2 CiliumCIDRGroup": `  spec:
    externalCIDRs:
    - 10.0.0.0/8
  status:
` + dumpedConditions,
	"policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy": `  spec:
    priority: 10
    subject:
      namespaces: {}
    tier: Admin
  status:
` + dumpedConditions,
	"v1 Namespace": `  spec:
    finalizers:
    - kubernetes
  status:
    phase: Active
    fieldOfANewerVersion: 1
`,
	"v1 Pod": `  spec:
    containers:
    - image: nginx
      name: x
      ports:
      - containerPort: 80
        name: http
        protocol: TCP
      resources: {}
      volumeMounts:
      - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
        name: kube-api-access-x
        readOnly: true
    enableServiceLinks: true
    nodeName: worker
    preemptionPolicy: PreemptLowerPriority
    priority: 0
    serviceAccount: default
    serviceAccountName: default
    tolerations:
    - effect: NoExecute
      key: node.kubernetes.io/not-ready
      operator: Exists
      tolerationSeconds: 300
    volumes:
    - name: kube-api-access-x
      projected:
        defaultMode: 420
        sources:
        - serviceAccountToken:
            expirationSeconds: 3607
            path: token
  status:
    containerStatuses:
    - allocatedResources: {cpu: 10m}
      containerID: containerd://0123
      fieldOfANewerVersion: {}
      image: nginx
      imageID: nginx@sha256:0123
      lastState: {}
      name: x
      ready: true
      restartCount: 0
      started: true
      state:
        running:
          startedAt: "2026-09-01T08:00:00Z"
    hostIP: 172.18.0.2
    hostIPs:
    - ip: 172.18.0.2
    phase: Running
    podIP: 10.0.0.1
    podIPs:
    - ip: 10.0.0.1
    qosClass: BestEffort
    startTime: "2026-09-01T08:00:00Z"
` + dumpedConditions,
	"v1 Service": `  spec:
    clusterIP: 10.96.0.10
    clusterIPs:
    - 10.96.0.10
    internalTrafficPolicy: Cluster
    ipFamilies:
    - IPv4
    ipFamilyPolicy: SingleStack
    ports:
    - name: http
      nodePort: 30080
      port: 80
      protocol: TCP
      targetPort: http
    selector:
      app: x
    sessionAffinity: None
    type: NodePort
  status:
    loadBalancer: {}
    fieldOfANewerVersion: 1
`,
	"v1 Node": `  spec:
    podCIDR: 10.0.0.0/24
    podCIDRs:
    - 10.0.0.0/24
    providerID: kind://docker/kind/worker
  status:
    addresses:
    - address: 172.18.0.2
      type: InternalIP
    - address: worker
      type: Hostname
    allocatable: {cpu: "2", memory: 1Gi}
    daemonEndpoints:
      kubeletEndpoint:
        Port: 10250
    images:
    - names: [nginx]
      sizeBytes: 1
    nodeInfo:
      architecture: amd64
      fieldOfANewerVersion: x
` + strings.Replace(dumpedConditions, "      lastUpdateTime: \"2026-09-01T08:00:00Z\"\n", "", 1),
	"apps/v1 Deployment": `  spec:
    progressDeadlineSeconds: 600
    replicas: 1
    revisionHistoryLimit: 10
    selector:
      matchLabels:
        app: x
    strategy:
      rollingUpdate:
        maxSurge: 25%
        maxUnavailable: 25%
      type: RollingUpdate
` + dumpedTemplate + `  status:
    availableReplicas: 1
    terminatingReplicas: 0
` + dumpedConditions,
	"apps/v1 StatefulSet": `  spec:
    podManagementPolicy: OrderedReady
    replicas: 1
    selector:
      matchLabels:
        app: x
    serviceName: x
` + dumpedTemplate + `  status:
    availableReplicas: 1
    collisionCount: 0
    currentRevision: x-1
    replicas: 1
` + dumpedConditions,
	"apps/v1 DaemonSet": `  spec:
    selector:
      matchLabels:
        app: x
    updateStrategy:
      type: RollingUpdate
` + dumpedTemplate + `  status:
    currentNumberScheduled: 1
    desiredNumberScheduled: 1
    numberMisscheduled: 0
    numberReady: 1
` + dumpedConditions,
	"apps/v1 ReplicaSet": `  spec:
    replicas: 1
    selector:
      matchLabels:
        app: x
` + dumpedTemplate + `  status:
    replicas: 1
` + dumpedConditions,
	"v1 ReplicationController": `  spec:
    replicas: 1
    selector:
      app: x
` + dumpedTemplate + `  status:
    replicas: 1
` + dumpedConditions,
	"batch/v1 Job": `  spec:
    backoffLimit: 6
    completionMode: NonIndexed
    completions: 1
    parallelism: 1
    selector:
      matchLabels:
        batch.kubernetes.io/controller-uid: 0123-4567
    suspend: false
` + strings.Replace(dumpedTemplate, "restartPolicy: Always", "restartPolicy: Never", 1) + `  status:
    ready: 0
    startTime: "2026-09-01T08:00:00Z"
    uncountedTerminatedPods: {}
` + dumpedConditions,
	"batch/v1 CronJob": `  spec:
    concurrencyPolicy: Allow
    failedJobsHistoryLimit: 1
    jobTemplate:
      metadata:
        creationTimestamp: null
      spec:
` + strings.ReplaceAll("\n"+strings.TrimSuffix(dumpedTemplate, "\n"), "\n", "\n    ")[1:] + `
    schedule: '* * * * *'
    successfulJobsHistoryLimit: 3
    suspend: false
  status:
    lastScheduleTime: "2026-09-01T08:00:00Z"
    fieldOfANewerVersion: 1
`,
	"v1 Endpoints": `  subsets:
  - addresses:
    - ip: 10.0.0.1
      nodeName: worker
      targetRef:
        kind: Pod
        name: x
        namespace: default
        uid: 11111111-2222-3333-4444-555555555555
    notReadyAddresses:
    - ip: 10.0.0.2
    ports:
    - name: http
      port: 8080
      protocol: TCP
`,
	"discovery.k8s.io/v1 EndpointSlice": `  addressType: IPv4
  endpoints:
  - addresses:
    - 10.0.0.1
    conditions:
      ready: true
      serving: true
      terminating: false
    nodeName: worker
    targetRef:
      kind: Pod
      name: x
      namespace: default
      uid: 11111111-2222-3333-4444-555555555555
  ports:
  - name: http
    port: 80
    protocol: TCP
`,
}

// What `kubectl get -o yaml` prints of each kind is read: alone, in a List and in a list of its own kind.
func TestParseDumps(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for what, body := range dumps {
		apiVersion, kind, _ := strings.Cut(what, " ")
		covered[kind] = true
		metadata := dumpedMetadata
		if k, _ := lookupKind(kind); k.namespaced {
			metadata = strings.Replace(metadata, "    name: x\n", "    name: x\n    namespace: app\n", 1)
		}
		item := "  apiVersion: " + apiVersion + "\n  kind: " + kind + "\n  metadata:\n" + metadata + body
		for form, text := range map[string]string{
			"alone":     strings.ReplaceAll("\n"+item, "\n  ", "\n")[1:],
			"a List":    "apiVersion: v1\nitems:\n- " + item[2:] + "kind: List\nmetadata:\n  resourceVersion: \"\"\n  selfLink: \"\"\n",
			"its lists": "apiVersion: " + apiVersion + "\nitems:\n- metadata:\n" + metadata + body + "kind: " + kind + "List\nmetadata:\n  continue: \"\"\n  remainingItemCount: 3\n  resourceVersion: \"4711\"\n",
		} {
			t.Run(fmt.Sprint(kind, " ", form), func(t *testing.T) {
				t.Parallel()
				objects, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, SubmissionLimits())
				if err := problems.Err(); err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				if len(objects) != 1 || objects[0].Value == nil || objects[0].Kind != kind || objects[0].Name != "x" {
					t.Errorf("got %+v", objects)
				}
			})
		}
	}
	for _, kind := range knownKinds {
		if !covered[kind.name] {
			t.Errorf("there is no dump of a %s", kind.name)
		}
	}
}

// What a status says is still read strictly as far as the engine uses it.
func TestStatusOfWrongType(t *testing.T) {
	t.Parallel()
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: {podIP: 10.0.0.300}\n"
	if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{}); len(problems) != 1 || problems[0].Field != "status.podIP" {
		t.Errorf("got %v", problems)
	}
	text = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {status: {}}\n"
	if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{}); len(problems) != 1 || problems[0].Field != "spec.status" {
		t.Errorf("got %v", problems)
	}
}

func TestUnmodelled(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]bool{
		"policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy":         true,
		"policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy": true,
		"k8s.cni.cncf.io/v1beta1 MultiNetworkPolicy":                   true,
		"projectcalico.org/v3 GlobalNetworkPolicy":                     true,
		"crd.projectcalico.org/v1 GlobalNetworkPolicy":                 true,
		"projectcalico.org/v3 StagedGlobalNetworkPolicy":               false,
		"projectcalico.org/v3 HostEndpoint":                            true,
		"networking.gke.io/v1alpha1 FQDNNetworkPolicy":                 true,
		"network.openshift.io/v1 EgressNetworkPolicy":                  true,
		"k8s.ovn.org/v1 EgressFirewall":                                true,
		"security.istio.io/v1 AuthorizationPolicy":                     true,
		"cilium.io/v2 CiliumLocalRedirectPolicy":                       true,
		"cilium.io/v2 CiliumEgressGatewayPolicy":                       false,
		"policy/v1 PodDisruptionBudget":                                false,
		"admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy":    false,
		"consul.hashicorp.com/v1alpha1 ServiceIntentions":              true,
		"vpcresources.k8s.aws/v1beta1 SecurityGroupPolicy":             true,
		"serving.knative.dev/v1 Service":                               false,
		"longhorn.io/v1beta2 Node":                                     false,
		"batch.volcano.sh/v1alpha1 Job":                                false,
		"v1 ConfigMap":                                                 false,
		"networking.k8s.io/v1 NetworkPolicy":                           false,
	} {
		apiVersion, kind, _ := strings.Cut(what, " ")
		text := "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: x}\n"
		objects, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
		if len(problems) > 0 || len(objects) != 1 || objects[0].Unmodelled() != want {
			t.Errorf("%s: got %v, %v", what, objects, problems)
		}
	}
	for _, apiVersion := range []string{"projectcalico.org/v3", "crd.projectcalico.org/v1"} {
		text := "apiVersion: " + apiVersion + "\nkind: NetworkPolicy\nmetadata: {name: x}\n"
		if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{}); !strings.Contains(problems.Error(), "Calico's is not modelled") {
			t.Errorf("%s: got %v", apiVersion, problems)
		}
	}
}
