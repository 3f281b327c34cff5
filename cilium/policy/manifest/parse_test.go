package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
)

// The files valid-* have no problem; the problems of invalid-* are listed in the golden file beside each.
func TestParseTestdata(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*valid-*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects, problems := Parse([]File{{Name: filepath.Base(file), Data: data}}, Limits{})
			if strings.HasPrefix(filepath.Base(file), "valid-") {
				if err := problems.Err(); err != nil {
					t.Errorf("problems with a valid file:\n%v", err)
				}
				for _, o := range objects {
					if Known(o.Kind) && o.Value == nil {
						t.Errorf("%s was not decoded", o.Ref())
					}
				}
				return
			}
			golden(t, file+".golden", problems.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, file, want)
	}
}

const typical = `# lets the frontend in
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-frontend
spec:
  podSelector:
    matchLabels:
      app: backend
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: frontend
    - namespaceSelector:
        matchLabels: {type: monitoring}
    ports:
    - protocol: TCP
      port: 8080
`

func TestParseTypical(t *testing.T) {
	t.Parallel()
	objs, problems := Parse([]File{{Name: "a.yaml", Data: []byte("---\n" + typical + "---\n\n--- # none\n" + typical)}}, Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(objs) != 2 {
		t.Fatalf("got %d objects, want 2", len(objs))
	}
	np, ok := objs[0].Value.(*networkingv1.NetworkPolicy)
	if !ok || np.Spec.Ingress[0].From[1].NamespaceSelector.MatchLabels["type"] != "monitoring" {
		t.Fatalf("decoded %#v", objs[0].Value)
	}
	for path, want := range map[string]int{"": 3, "spec.ingress[0].from[1]": 17, "spec.ingress[0].from[1].namespaceSelector.matchLabels.x": 18, "spec.ingress[0].ports[0].port": 21} {
		if got := objs[0].LineOf(path); got != want {
			t.Errorf("LineOf(%q) = %d, want %d", path, got, want)
		}
	}
}

// Forms of one and the same text.
func TestParseForms(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"CRLF":            strings.ReplaceAll(typical, "\n", "\r\n"),
		"byte order mark": "\xef\xbb\xbf" + typical,
		"no line end":     strings.TrimSuffix(typical, "\n"),
		"directive":       "%YAML 1.1\n---\n" + typical,
		"list":            "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimPrefix(typical, "# lets the frontend in\n"), "\n", "\n  "),
		"merge keys":      "x: &base\n  app: backend\n---\n" + typical,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
			if name == "merge keys" {
				problems = nil // the first document is no object
			}
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if len(objects) != 1 || objects[0].Ref().String() != "NetworkPolicy default/allow-frontend" {
				t.Fatalf("got %v", objects)
			}
			np := objects[0].Value.(*networkingv1.NetworkPolicy)
			if got := np.Spec.Ingress[0].Ports[0].Port.IntValue(); got != 8080 {
				t.Errorf("port is %d", got)
			}
			line := objects[0].LineOf("spec.ingress[0].ports[0].port")
			if got := strings.Split(text, "\n")[line-1]; !strings.Contains(got, "port: 8080") {
				t.Errorf("line %d is %q", line, got)
			}
		})
	}
}

func TestParseMergesAndAliases(t *testing.T) {
	t.Parallel()
	text := `apiVersion: v1
kind: Namespace
metadata:
  name: x
  annotations: &a {a: "1", b: "2"}
  labels:
    <<: *a
    b: "3"
`
	objects, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	o := objects[0]
	if o.Labels["a"] != "1" || o.Labels["b"] != "3" || len(o.Labels) != 2 {
		t.Errorf("labels are %v", o.Labels)
	}
	if got := o.LineOf("metadata.labels.a"); got != 5 {
		t.Errorf("the merged label is on line %d", got)
	}
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+p+",", 10), ",") + "]\n"
	}
	merges := "a: &a {k: v}\n"
	for c := 'b'; c <= 'z'; c++ {
		merges += string(c) + ": &" + string(c) + " {<<: [" + strings.Repeat("*"+string(c-1)+", ", 9) + "*" + string(c-1) + "]}\n"
	}
	merges += "<<: *z\n"
	deep := "a: " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "\n"
	for _, tt := range []struct{ name, text, want string }{
		{"an alias bomb", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n" + bomb, "more than 2000000 values"},
		{"a merge bomb", merges, "more than 2000000 values"},
		{"escape sequences", "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"\\e[2J\", \"\\e[1m\": x}\n", `Namespace \x1b[2J: metadata[\x1b[1m]: unknown field`},
		{"a deep document", deep, "nested more than 64 levels deep"},
		{"a deep JSON document", `{"a": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "max depth"},
		{"many documents", strings.Repeat("---\na: b\n", 20001), "more than 20000 documents and items of lists, including empty ones (the limit max-documents)"},
		{"UTF-16", "\xff\xfea\x00", "not UTF-8 but UTF-16"},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", "not UTF-8 but UTF-32"},
		{"UTF-32, big-endian", "\x00\x00\xfe\xff\x00\x00\x00a", "not UTF-8 but UTF-32"},
		{"EBCDIC", "a: \x81\x82", "a.yaml:1: the file is not UTF-8: byte 0x81 at column 4 (save it as UTF-8)"},
		{"Latin-1", "a: b\nc: \xe9\n", "a.yaml:2: the file is not UTF-8"},
		{"bad JSON", `{"a": 1,}`, "a.yaml:1: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(tt.text)}}, Limits{})
			if !strings.Contains(problems.Error(), tt.want) {
				t.Errorf("got %.300v, want %q", problems, tt.want)
			}
		})
	}
}

// parsed are the documents of a file that has no syntax error.
func parsed(t *testing.T, f File) (docs []document) {
	t.Helper()
	for d, err := range documents(f, new(int)) {
		if err != nil {
			t.Fatalf("%s: %+v", f.Data, *err)
		}
		docs = append(docs, d)
	}
	return docs
}

func TestParseJSONErrorLine(t *testing.T) {
	t.Parallel()
	_, problems := Parse([]File{{Name: "a.json", Data: []byte("{\n \"a\": 1,\n \"b\" 2\n}\n")}}, Limits{})
	if len(problems) != 1 || problems[0].Line != 3 || !strings.Contains(problems[0].Message, "not valid JSON") {
		t.Errorf("got %v", problems)
	}
}

func TestParseRefs(t *testing.T) {
	t.Parallel()
	text := "kind: NetworkPolicy\nmetadata: {name: a, namespace: ns}\nspec: nonsense\n---\nkind: Namespace\nmetadata: {name: b}\n---\nkind: NetworkPolicy\nmetadata: {}\n"
	objects, problems := ParseRefs([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
	if len(objects) != 2 || objects[0].Ref().String() != "NetworkPolicy ns/a" || objects[1].Ref().String() != "Namespace b" {
		t.Errorf("got %v", objects)
	}
	if len(problems) != 1 || problems[0].Field != "metadata.name" {
		t.Errorf("problems %v", problems)
	}
}

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	text := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}\n"
	objects, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	np := objects[0].Value.(*networkingv1.NetworkPolicy)
	if len(np.Spec.PolicyTypes) != 2 || *np.Spec.Egress[0].Ports[0].Protocol != "TCP" || np.Namespace != "default" {
		t.Errorf("decoded %+v", np)
	}
}

// FuzzParse: whatever the text, Parse returns, and what it returns is consistent.
func FuzzParse(f *testing.F) {
	files, err := ReadPath("testdata", Limits{})
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(file.Data)
		for c := range splitDocuments(file.Data) {
			f.Add(c.text)
		}
	}
	f.Add([]byte(typical))
	f.Add([]byte("? a\n: b\n"))
	f.Add([]byte("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec:\n  ingress:\n  - icmps:\n    - fields:\n      -"))
	f.Add([]byte("a: |\n  text\n--- !!binary aGk=\n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lim := Limits{Nodes: 10000, Documents: 100}
		lines := 1
		for _, lineBreak := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML's
			lines += strings.Count(string(data), lineBreak)
		}
		start := time.Now()
		objects, problems := Parse([]File{{Name: "a.yaml", Data: data}}, lim)
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("took %v for %d bytes", took, len(data))
		}
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines+1 || p.Message == "" {
				t.Fatalf("problem %+v in %d lines", p, lines)
			}
			if strings.Contains(p.Message, "cannot be read: ") || strings.Contains(p.Message, "the YAML parser failed") {
				t.Fatalf("a panic was caught: %v", p)
			}
		}
		for _, o := range objects {
			if o.Kind == "" || o.Name == "" || Known(o.Kind) && o.Value == nil && o.APIVersion == "v1" || !json.Valid(o.JSON) {
				t.Fatalf("object %+v", o)
			}
			if l := o.LineOf("spec.ingress[0].from[1]"); l < 1 || l > lines {
				t.Fatalf("line %d of %d", l, lines)
			}
		}
		ParseRefs([]File{{Name: "a.yaml", Data: data}}, lim)
	})
}

// What plainLabels lets pass, Kubernetes' own check does, too.
func FuzzPlainLabel(f *testing.F) {
	for _, s := range []string{"app", "a-b", "-a", "a-", "", "A1", "a.b", strings.Repeat("x", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !plainLabel(s) {
			return
		}
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{s: s}}
		if errs := metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, nil); len(errs) > 0 {
			t.Error(errs)
		}
	})
}

// TestBlanks shows that what a skeleton leaves open is named in one line, and that underscores in a name are no blank.
func TestBlanks(t *testing.T) {
	t.Parallel()
	const policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, namespace: %s}\n" +
		"spec: {podSelector: {matchLabels: {%s}}, policyTypes: [%s]}\n"
	for _, tt := range []struct{ namespace, labels, types, want string }{
		{"default", "app: a", "Ingress", ""},
		{"default", "app: a____b", "Ingress", ""},
		{"____", "app: a", "Ingress", "p.yaml:3: NetworkPolicy: a blank (____) is left: metadata.namespace (fill in every blank)"},
		{"default", "____: ____", "Ingress",
			"p.yaml:4: NetworkPolicy: a blank (____) is left: spec.podSelector.matchLabels (fill in every blank)"},
		{"______", "app: ____", "____", "p.yaml:3: NetworkPolicy: blanks (____) are left: metadata.namespace, " +
			"spec.podSelector.matchLabels.app and spec.policyTypes[0] (fill in every blank)"},
		{"default", "app: a", "____, ____, ____, ____, ____, ____, ____", "p.yaml:4: NetworkPolicy: blanks (____) are left: " +
			"spec.policyTypes[0], spec.policyTypes[1], spec.policyTypes[2], spec.policyTypes[3], spec.policyTypes[4] " +
			"and 2 more (fill in every blank)"},
	} {
		data := fmt.Sprintf(policy, tt.namespace, tt.labels, tt.types)
		_, problems := Parse([]File{{Name: "p.yaml", Data: []byte(data)}}, Limits{})
		if got := problems.Error(); got != tt.want {
			t.Errorf("%s got\n%s\nwant\n%s", data, got, tt.want)
		}
	}
	// What the API server takes is no blank.
	for _, data := range []string{
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, annotations: {note: ____}}\nspec: {podSelector: {}}\n",
		"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\nspec: {description: ____, endpointSelector: {}, ingress: [{}]}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {line: ____}\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: i, env: [{name: LINE, value: ____}]}]}\n",
	} {
		if _, problems := Parse([]File{{Name: "p.yaml", Data: []byte(data)}}, Limits{}); len(problems) > 0 {
			t.Errorf("%s got\n%s", data, problems.Error())
		}
	}
}
