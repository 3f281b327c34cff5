package gradetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Shape is a submission that costs much to grade: what there is many of. Its fields are counts, or choices of what is counted.
type Shape struct {
	Kind      int // of policies: NetworkPolicy, CiliumNetworkPolicy with allow, with deny, CiliumClusterwideNetworkPolicy
	Tasks     int // that have policies
	Policies  int // of a task
	Rules     int // of a policy
	Peers     int // of a rule
	PeerKind  int
	Terms     int // of a selector, or exceptions of a range
	Keys      int // different ones
	Ports     int // of a rule
	PortKind  int
	Subject   int // which pods the policies select
	Direction int // ingress, egress, both
	Types     int // what policyTypes lists
	Groups    int // CiliumCIDRGroups
	GroupSize int
	Patterns  int // of requests, of a port
	Pattern   int
	Labels    int // of a namespace
	Deletes   int // manifests in delete folders
	NameBytes int // of names
}

// choices are how many there are of what is no count.
var choices = map[string]int{"Kind": 4, "PeerKind": 10, "PortKind": 5, "Subject": 5, "Direction": 3, "Types": 3, "Pattern": 8}

// mostOf bounds counts, so that a shape does not only test how files are read.
const mostOf = 100_000

// Mutate returns a shape that differs in a thing or two.
func (s Shape) Mutate(r *rand.Rand) Shape {
	v := reflect.ValueOf(&s).Elem()
	for range 1 + r.IntN(3) {
		i := r.IntN(v.NumField())
		f := v.Field(i)
		if n, ok := choices[v.Type().Field(i).Name]; ok {
			f.SetInt(int64(r.IntN(n)))
			continue
		}
		switch n := f.Int(); r.IntN(6) {
		case 0:
			f.SetInt(n / 2)
		case 1:
			f.SetInt(n / 10)
		case 2:
			f.SetInt(min(n+1, mostOf))
		case 3:
			f.SetInt(min(n*2, mostOf))
		case 4:
			f.SetInt(min(n*10, mostOf))
		default:
			f.SetInt(1 << r.IntN(13))
		}
	}
	return s
}

// Shapes are where a search begins: each is much of one thing.
func Shapes() map[string]Shape {
	base := Shape{Tasks: 1, Policies: 1, Rules: 1, Peers: 1, Keys: 1, Ports: 1, NameBytes: 4}
	with := func(change func(*Shape)) Shape { s := base; change(&s); return s }
	return map[string]Shape{
		"rules":         with(func(s *Shape) { s.Rules = 200 }),
		"many rules":    with(func(s *Shape) { s.Rules = 4000 }),
		"ranges":        with(func(s *Shape) { s.Peers, s.PeerKind = 500, 2 }),
		"deny policies": with(func(s *Shape) { s.Policies, s.Rules, s.Types = 600, 0, 2 }),
		"most policies": with(func(s *Shape) { s.Policies, s.Rules, s.Types = 1990, 0, 2 }),
		"exceptions":    with(func(s *Shape) { s.PeerKind, s.Terms = 3, 60_000 }),
		"values":        with(func(s *Shape) { s.PeerKind, s.Terms = 4, 90_000 }),
		"expressions":   with(func(s *Shape) { s.PeerKind, s.Terms, s.Keys = 5, 18_000, 20_000 }),
		"keys":          with(func(s *Shape) { s.Peers, s.Keys = 30, 30 }),
		"named ports":   with(func(s *Shape) { s.Ports, s.PortKind = 40_000, 2 }),
		"port ranges":   with(func(s *Shape) { s.Ports, s.PortKind = 5_000, 1 }),
		"DNS ports":     with(func(s *Shape) { s.Ports, s.PortKind, s.Direction = 4_000, 4, 1 }),
		"every task":    with(func(s *Shape) { s.Tasks, s.Policies = 9, 215 }),
		"tasks, ranges": with(func(s *Shape) { s.Tasks, s.Peers, s.PeerKind = 9, 1300, 2 }),
		"groups": with(func(s *Shape) {
			s.Kind, s.Peers, s.PeerKind, s.Groups, s.GroupSize, s.Direction = 1, 1000, 8, 1, 30_000, 1
		}),
		"patterns":         with(func(s *Shape) { s.Kind, s.Patterns = 1, 1500 }),
		"long pattern":     with(func(s *Shape) { s.Kind, s.Patterns, s.Pattern = 1, 1, 1 }),
		"small patterns":   with(func(s *Shape) { s.Kind, s.Patterns, s.Pattern = 1, 5000, 2 }),
		"names":            with(func(s *Shape) { s.Kind, s.Peers, s.PeerKind, s.Direction = 1, 3000, 7, 1 }),
		"deny rules":       with(func(s *Shape) { s.Kind, s.Rules = 2, 1000 }),
		"labels":           with(func(s *Shape) { s.Labels, s.Peers = 5000, 200 }),
		"deletions":        with(func(s *Shape) { s.Policies, s.Deletes, s.NameBytes = 900, 900, 250 }),
		"long names":       with(func(s *Shape) { s.Policies, s.NameBytes, s.Subject = 300, 250, 1 }),
		"some exceptions":  with(func(s *Shape) { s.PeerKind, s.Terms = 3, 4900 }),
		"some values":      with(func(s *Shape) { s.PeerKind, s.Terms = 4, 4900 }),
		"some expressions": with(func(s *Shape) { s.PeerKind, s.Terms, s.Keys, s.Peers = 5, 190, 200, 12 }),
		"some named ports": with(func(s *Shape) { s.Ports, s.PortKind = 4900, 2 }),
		"some rules":       with(func(s *Shape) { s.Rules, s.Direction = 990, 1 }),
		"some tasks":       with(func(s *Shape) { s.Tasks, s.Policies, s.NameBytes = 9, 100, 200 }),
		"some groups": with(func(s *Shape) {
			s.Kind, s.Peers, s.PeerKind, s.Groups, s.GroupSize, s.Direction = 1, 1000, 8, 3, 1000, 1
		}),
		"some patterns": with(func(s *Shape) { s.Kind, s.Patterns, s.Pattern = 1, 900, 2 }),
		"some names":    with(func(s *Shape) { s.Kind, s.Peers, s.PeerKind, s.Direction = 1, 900, 7, 1 }),
		"some labels":   with(func(s *Shape) { s.Labels, s.Peers = 1000, 300 }),
		"subjects":      with(func(s *Shape) { s.Policies, s.Subject, s.Keys = 600, 2, 40 }),
	}
}

// Write writes the submission into a directory, with the folders of the tasks.
func (s Shape) Write(dir string, tasks []string) error {
	w := shapeWriter{Shape: s}
	for i := range min(max(s.Tasks, 1), len(tasks)) {
		folder := filepath.Join(dir, tasks[i])
		if err := w.file(filepath.Join(folder, "policies.yaml"), max(1, s.Policies), w.policy); err != nil {
			return err
		}
		if err := w.file(filepath.Join(folder, "groups.yaml"), s.Groups, w.group); err != nil {
			return err
		}
		if err := w.file(filepath.Join(folder, "delete", "delete.yaml"), s.Deletes, w.deletion); err != nil {
			return err
		}
		if s.Labels > 0 {
			if err := w.file(filepath.Join(folder, "namespace.yaml"), 1, w.labels); err != nil {
				return err
			}
		}
	}
	return nil
}

// shapeWriter counts what it writes, so that nothing is written twice alike.
type shapeWriter struct {
	Shape
	n int
}

func (w *shapeWriter) next() int { w.n++; return w.n }

// file writes so many documents, into files that are as large as may be.
func (w *shapeWriter) file(name string, documents int, document func(*strings.Builder)) error {
	const most = 1<<20 - 64<<10
	var b strings.Builder
	part := 0
	flush := func() error {
		if b.Len() == 0 {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		part++
		err := os.WriteFile(strings.TrimSuffix(name, ".yaml")+fmt.Sprintf("-%d.yaml", part), []byte(b.String()), 0o600)
		b.Reset()
		return err
	}
	for range documents {
		b.WriteString("---\n")
		document(&b)
		if b.Len() > most {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (w *shapeWriter) name() string {
	name := fmt.Sprintf("p%d", w.next())
	return name + strings.Repeat("x", max(0, min(w.NameBytes, 250)-len(name)))
}

func (w *shapeWriter) policy(b *strings.Builder) {
	if w.Kind == 0 {
		fmt.Fprintf(b, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: default}\nspec:\n  podSelector: %s\n", w.name(), w.subject())
		if w.Types > 0 {
			fmt.Fprintf(b, "  policyTypes: %s\n", []string{"", "[Ingress]", "[Ingress, Egress]"}[w.Types])
		}
	} else {
		kind := "CiliumNetworkPolicy"
		metadata := "namespace: default, "
		if w.Kind == 3 {
			kind, metadata = "CiliumClusterwideNetworkPolicy", ""
		}
		fmt.Fprintf(b, "apiVersion: cilium.io/v2\nkind: %s\nmetadata: {%sname: %s}\nspec:\n  endpointSelector: %s\n", kind, metadata, w.name(), w.subject())
	}
	for _, d := range []string{"ingress", "egress"} {
		if w.Rules == 0 && w.Kind == 0 || w.Direction == 0 && d == "egress" || w.Direction == 1 && d == "ingress" {
			continue
		}
		field := d
		if w.Kind == 2 {
			field += "Deny"
		}
		fmt.Fprintf(b, "  %s:\n", field)
		for range max(1, w.Rules) {
			b.WriteString("  - " + w.rule(d) + "\n")
		}
	}
}

func (w *shapeWriter) subject() string {
	switch w.Subject {
	case 1:
		return "{matchLabels: {app: backend}}"
	case 2:
		return fmt.Sprintf("{matchLabels: {k%d: v%d}}", w.next()%max(1, w.Keys), w.n)
	case 3:
		return w.expressions("NotIn")
	case 4:
		return fmt.Sprintf("{matchExpressions: [{key: app, operator: NotIn, values: [v%d]}]}", w.next())
	}
	return "{}"
}

func (w *shapeWriter) rule(d string) string {
	peers, field := w.peers(d)
	rule := "{"
	if len(peers) > 0 {
		rule += field + ": [" + strings.Join(peers, ", ") + "]"
	}
	if w.Ports > 0 && w.Kind == 0 {
		rule += ", ports: [" + strings.Join(w.ports(), ", ") + "]"
	} else if w.Ports > 0 {
		rule += ", toPorts: [{ports: [" + strings.Join(w.ports(), ", ") + "]" + w.requests() + "}]"
	}
	return strings.TrimPrefix(rule, "{, ") + "}"
}

func (w *shapeWriter) peers(d string) (list []string, field string) {
	from := map[string]string{"ingress": "from", "egress": "to"}[d]
	kind := w.PeerKind
	if w.Kind == 0 {
		field = from
	} else {
		field = from + []string{"Endpoints", "Endpoints", "CIDR", "CIDRSet", "Endpoints", "Endpoints", "Endpoints", "FQDNs", "CIDRSet", "Entities"}[kind]
		if kind == 7 && d == "ingress" {
			return nil, ""
		}
	}
	for range w.Peers {
		list = append(list, w.peer(kind))
	}
	return list, field
}

func (w *shapeWriter) peer(kind int) string {
	n := w.next()
	labels := fmt.Sprintf("{matchLabels: {k%d: v%d}}", n%max(1, w.Keys), n)
	cidr := fmt.Sprintf("%d.%d.%d.0/24", 11+n>>16%80, n>>8&255, n&255)
	wrap := func(np, cnp string) string {
		if w.Kind == 0 {
			return np
		}
		return cnp
	}
	switch kind {
	case 0:
		return wrap("{podSelector: "+labels+"}", labels)
	case 1:
		return wrap("{namespaceSelector: "+labels+"}", labels)
	case 2:
		return wrap("{ipBlock: {cidr: "+cidr+"}}", cidr)
	case 3:
		var except []string
		for i := range w.Terms {
			except = append(except, fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255))
		}
		return wrap("{ipBlock: {cidr: 10.0.0.0/8, except: ["+strings.Join(except, ",")+"]}}", "{cidr: 10.0.0.0/8, except: ["+strings.Join(except, ",")+"]}")
	case 4:
		var values []string
		for i := range w.Terms {
			values = append(values, fmt.Sprintf("v%d", i))
		}
		s := "{matchExpressions: [{key: app, operator: In, values: [x," + strings.Join(values, ",") + "]}]}"
		return wrap("{podSelector: "+s+"}", s)
	case 5:
		return wrap("{podSelector: "+w.expressions("NotIn")+"}", w.expressions("NotIn"))
	case 6:
		return wrap("{podSelector: "+w.expressions("Exists")+", namespaceSelector: "+labels+"}", w.expressions("Exists"))
	case 7:
		return wrap("{podSelector: {}}", fmt.Sprintf("{matchPattern: \"*.a%d.*.example.com\"}", n))
	case 8:
		return wrap("{podSelector: {}, namespaceSelector: {}}", fmt.Sprintf("{cidrGroupRef: g%d}", n%max(1, w.Groups)))
	}
	return wrap("{}", "world")
}

func (w *shapeWriter) expressions(operator string) string {
	var list []string
	for range max(1, w.Terms) {
		e := fmt.Sprintf("{key: k%d, operator: %s", w.next()%max(1, w.Keys), operator)
		if operator == "NotIn" {
			e += fmt.Sprintf(", values: [v%d]", w.n)
		}
		list = append(list, e+"}")
	}
	return "{matchExpressions: [" + strings.Join(list, ",") + "]}"
}

func (w *shapeWriter) ports() []string {
	var list []string
	for range w.Ports {
		n := 1 + w.next()%65000
		var p string
		switch w.PortKind {
		case 1:
			p = fmt.Sprintf("port: %d, endPort: %d", n, n+100)
		case 2:
			p = fmt.Sprintf("port: p%d", w.n)
		case 3:
			p = fmt.Sprintf("port: %d, protocol: UDP", n)
		case 4:
			p = "port: 53"
		default:
			p = fmt.Sprintf("port: %d", n)
		}
		if w.Kind > 0 {
			p = strings.Replace(p, "port: ", `port: "`, 1)
			if i := strings.Index(p, ","); i > 0 {
				p = p[:i] + `"` + p[i:]
			} else {
				p += `"`
			}
			if w.PortKind != 3 {
				p += ", protocol: TCP"
			}
		}
		list = append(list, "{"+p+"}")
	}
	return list
}

// requests are patterns that cost much to compile or to compare.
func (w *shapeWriter) requests() string {
	if w.Patterns == 0 || w.Kind == 2 {
		return ""
	}
	var list []string
	for range w.Patterns {
		n := w.next()
		list = append(list, "{path: "+[]string{
			fmt.Sprintf(`'(?i)/%d\pL{300}[\pN\pS\pM]{600}'`, n),
			"'" + strings.Repeat("(a|b)*", 60_000) + "'",
			fmt.Sprintf("'/a%d/[a-z]+/[0-9]*'", n),
			fmt.Sprintf("'(a?){%d}a{%d}'", 20+n%10, 20),
			fmt.Sprintf("'((a{0,30}){0,30}){0,%d}'", n%30),
			fmt.Sprintf(`'(?i)[\x{100}-\x{1e942}]%d'`, n),
			fmt.Sprintf("'(.*)(.*)(.*)(.*)(.*)(.*)(.*)x%d'", n),
			fmt.Sprintf("'/%s%d'", strings.Repeat("[a-z]|", 300), n),
		}[w.Pattern]+"}")
	}
	return ", rules: {http: [" + strings.Join(list, ",") + "]}"
}

func (w *shapeWriter) group(b *strings.Builder) {
	fmt.Fprintf(b, "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: g%d}\nspec: {externalCIDRs: [", w.next()%max(1, w.Groups))
	for i := range max(1, w.GroupSize) {
		fmt.Fprintf(b, "11.%d.%d.0/24,", i>>8&255, i&255)
	}
	b.WriteString("]}\n")
}

func (w *shapeWriter) deletion(b *strings.Builder) {
	fmt.Fprintf(b, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: default}\n", w.name())
}

func (w *shapeWriter) labels(b *strings.Builder) {
	b.WriteString("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kube-system\n  labels:\n")
	for i := range w.Labels {
		fmt.Fprintf(b, "    k%d: v%d\n", i, i)
	}
}
