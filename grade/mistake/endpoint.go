package mistake

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

// endpoint is one end of a connection as far as selectors see it. The zero value is one outside the cluster,
// or unknown.
type endpoint struct {
	name      string // for messages: "backend"
	namespace string
	labels    map[string]string
	app       *labs.App // nil for the name server
}

func (p *endpoint) known() bool { return p.namespace != "" }

// nameServer stands for the pods of the cluster's DNS.
func nameServer() endpoint {
	return endpoint{name: "the name server", namespace: "kube-system", labels: map[string]string{"k8s-app": "kube-dns"}}
}

func appEndpoint(app *labs.App) endpoint {
	return endpoint{name: app.Name, namespace: app.Namespace, labels: app.Labels, app: app}
}

func (r *recognizer) app(name string) (endpoint, bool) {
	app := r.lab.App(name)
	if app == nil {
		return endpoint{}, false
	}
	return appEndpoint(app), true
}

// endpoints returns the two ends of the connection that decided: those of the probe or, where its name did
// not resolve or was not to, of the look-up.
func (r *recognizer) endpoints() (client, server endpoint) {
	client, _ = r.app(r.Probe.From.App)
	server, _ = r.app(r.Probe.To.App)
	if r.lookUp() {
		server = nameServer()
	}
	return client, server
}

// lookUp reports whether it was a DNS query that decided.
func (r *recognizer) lookUp() bool {
	return r.Probe.To.DNS != "" || r.Probe.Want == verdict.DNSFailed || r.Observation != nil && r.Observation.Verdict == verdict.DNSFailed
}

// subjects returns the parties that a policy of the direction would have to select to decide here.
func (r *recognizer) subject(d direction) endpoint {
	if d == ingress {
		return r.server
	}
	return r.client
}

func (r *recognizer) peer(d direction) endpoint { return r.subject(!d) }

// namespaceLabels are the labels of a namespace at the checkpoint.
func (s *Scene) namespaceLabels(name string) map[string]string {
	if known := s.namespace[name]; known != nil {
		return known
	}
	all := map[string]string{"kubernetes.io/metadata.name": name}
	for i := range s.lab.Namespaces {
		if s.lab.Namespaces[i].Name == name {
			maps.Copy(all, s.lab.Namespaces[i].Labels)
		}
	}
	maps.Copy(all, s.State.NamespaceLabels[name])
	s.namespace[name] = all
	return all
}

// selector is a selector that is parsed.
type selector struct {
	labels.Selector
	terms int
}

// parsed returns a selector, which is parsed once; nil selects nothing, as does one that is not valid.
func (s *Scene) parsed(text *metav1.LabelSelector) selector {
	if text == nil {
		return selector{Selector: labels.Nothing()}
	}
	if known, ok := s.selectors[text]; ok {
		return known
	}
	terms := len(text.MatchLabels) + len(text.MatchExpressions)
	for i := range text.MatchExpressions {
		terms += len(text.MatchExpressions[i].Values)
	}
	s.Spend(parseSteps * (1 + terms))
	made := selector{terms: terms}
	var err error
	if made.Selector, err = metav1.LabelSelectorAsSelector(text); err != nil {
		made.Selector = labels.Nothing()
	}
	s.selectors[text] = made
	return made
}

// parseSteps is what it costs to parse a requirement of a selector or one of its values.
const parseSteps = 4

// matches reports whether labels fulfil a selector.
func (s *Scene) matches(text *metav1.LabelSelector, have map[string]string) bool {
	selector := s.parsed(text)
	s.Spend(1 + selector.terms)
	return selector.Matches(labels.Set(have))
}

// selectsSubject reports whether a policy selects an endpoint.
func (r *recognizer) selectsSubject(p *networkPolicy, who endpoint) bool {
	return p.Namespace == who.namespace && r.matches(&p.spec.subject, who.labels)
}

// selectsNobody reports whether no pod of the lab is among a policy's subjects.
func (r *recognizer) selectsNobody(p *networkPolicy) bool {
	for _, who := range r.everybody {
		if r.selectsSubject(p, who) {
			return false
		}
	}
	return true
}

// peerSelects reports whether a peer with selectors matches an endpoint.
func (r *recognizer) peerSelects(p *networkPolicy, pods, namespaces *metav1.LabelSelector, who endpoint) bool {
	if namespaces == nil {
		return p.Namespace == who.namespace && r.matches(pods, who.labels)
	}
	return r.matches(namespaces, r.namespaceLabels(who.namespace)) && (pods == nil || r.matches(pods, who.labels))
}

func (r *recognizer) peerSelectsNobody(p *networkPolicy, pods, namespaces *metav1.LabelSelector) bool {
	for _, who := range r.everybody {
		if r.peerSelects(p, pods, namespaces, who) {
			return false
		}
	}
	return true
}

// selectsNoNamespace reports whether no namespace of the lab fulfils a selector.
func (r *recognizer) selectsNoNamespace(s *metav1.LabelSelector) bool {
	for _, who := range r.everybody {
		if r.matches(s, r.namespaceLabels(who.namespace)) {
			return false
		}
	}
	for i := range r.lab.Namespaces {
		if r.matches(s, r.namespaceLabels(r.lab.Namespaces[i].Name)) {
			return false
		}
	}
	return true
}

// workloadLabels returns the labels of an app's Deployment (or the like), which selectors of pods do not see.
func (n *Namer) workloadLabels(app *labs.App) map[string]string {
	known, ok := n.workloads.Load(app.Name)
	if !ok {
		known, _ = n.workloads.LoadOrStore(app.Name, readWorkloadLabels(n.lab, app))
	}
	return known.(map[string]string)
}

func readWorkloadLabels(lab *labs.Lab, app *labs.App) map[string]string {
	for _, name := range app.Manifests {
		files, err := manifest.ReadFS(lab.FS, name, manifest.Limits{})
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
