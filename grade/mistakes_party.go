package grade

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// party is one end of a connection as far as selectors see it. The zero value is one outside the cluster,
// or unknown.
type party struct {
	name      string // for messages: "backend"
	namespace string
	labels    map[string]string
	app       *labs.App // nil for the name server
}

func (p *party) known() bool { return p.namespace != "" }

func labelSet(l map[string]string) labels.Labels { return labels.Set(l) }

// nameServer stands for the pods of the cluster's DNS.
func nameServer() party {
	return party{name: "the name server", namespace: "kube-system", labels: map[string]string{"k8s-app": "kube-dns"}}
}

func appParty(app *labs.App) party {
	return party{name: app.Name, namespace: app.Namespace, labels: app.Labels, app: app}
}

func (r *recognizer) app(name string) (party, bool) {
	for i := range r.lab.Apps {
		if r.lab.Apps[i].Name == name {
			return appParty(&r.lab.Apps[i]), true
		}
	}
	return party{}, false
}

// parties returns the two ends of the connection that decided: those of the probe or, where its name did
// not resolve, of the look-up.
func (r *recognizer) parties() (client, server party) {
	client, _ = r.app(r.probe.From.App)
	server, _ = r.app(r.probe.To.App)
	if r.lookUp() {
		server = nameServer()
	}
	return client, server
}

// lookUp reports whether it was a DNS query that decided.
func (r *recognizer) lookUp() bool {
	return r.probe.To.DNS != "" || r.outcome != nil && r.outcome.Verdict == labs.DNSFailed
}

// subjects returns the parties that a policy of the direction would have to select to decide here.
func (r *recognizer) subject(d direction) party {
	if d == ingress {
		return r.server
	}
	return r.client
}

func (r *recognizer) peer(d direction) party { return r.subject(!d) }

// everybody returns all parties that selectors can find in the lab.
func (r *recognizer) everybody() []party {
	all := []party{nameServer()}
	for i := range r.lab.Apps {
		all = append(all, appParty(&r.lab.Apps[i]))
	}
	return all
}

// namespaceLabels are the labels of a namespace at the checkpoint.
func (r *recognizer) namespaceLabels(name string) map[string]string {
	all := map[string]string{"kubernetes.io/metadata.name": name}
	for i := range r.lab.Namespaces {
		if r.lab.Namespaces[i].Name == name {
			maps.Copy(all, r.lab.Namespaces[i].Labels)
		}
	}
	maps.Copy(all, r.state.NamespaceLabels[name])
	return all
}

// selectsSubject reports whether a policy selects a party.
func selectsSubject(p *networkPolicy, who party) bool {
	return p.Namespace == who.namespace && matches(&p.spec.subject, who.labels)
}

// selectsNobody reports whether no pod of the lab is among a policy's subjects.
func (r *recognizer) selectsNobody(p *networkPolicy) bool {
	for _, who := range r.everybody() {
		if selectsSubject(p, who) {
			return false
		}
	}
	return true
}

// peerSelects reports whether a peer with selectors finds a party.
func (r *recognizer) peerSelects(p *networkPolicy, pods, namespaces *metav1.LabelSelector, who party) bool {
	if namespaces == nil {
		return p.Namespace == who.namespace && matches(pods, who.labels)
	}
	return matches(namespaces, r.namespaceLabels(who.namespace)) && (pods == nil || matches(pods, who.labels))
}

func (r *recognizer) peerSelectsNobody(p *networkPolicy, pods, namespaces *metav1.LabelSelector) bool {
	for _, who := range r.everybody() {
		if r.peerSelects(p, pods, namespaces, who) {
			return false
		}
	}
	return true
}

// selectsNoNamespace reports whether no namespace of the lab fulfils a selector.
func (r *recognizer) selectsNoNamespace(s *metav1.LabelSelector) bool {
	for _, who := range r.everybody() {
		if matches(s, r.namespaceLabels(who.namespace)) {
			return false
		}
	}
	for i := range r.lab.Namespaces {
		if matches(s, r.namespaceLabels(r.lab.Namespaces[i].Name)) {
			return false
		}
	}
	return true
}

// workloadLabels returns the labels of an app's Deployment (or the like), which selectors of pods do not see.
func (r *recognizer) workloadLabels(app *labs.App) map[string]string {
	for _, name := range app.Manifests {
		files, err := manifest.ReadFS(r.lab.FS, name, manifest.Limits{})
		if err != nil {
			continue
		}
		objects, _ := manifest.Parse(files, manifest.Limits{})
		for _, o := range objects {
			switch o.Value.(type) {
			case *appsv1.Deployment, *appsv1.StatefulSet, *appsv1.DaemonSet, *appsv1.ReplicaSet, *batchv1.Job:
				if o.Name == app.Name && o.Namespace == app.Namespace {
					return o.Labels
				}
			}
		}
	}
	return nil
}
