package manifest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// FuzzBlockDocument: what blockDocument takes on, it parses as the YAML library does.
func FuzzBlockDocument(f *testing.F) {
	f.Add([]byte(typical))
	for _, s := range []string{
		"a: b", "a:\n  b: c\nd: e", "a:\n- b\n- c: d\n  e: f\n-   g: h\n    i: j\n", "- - a\n  - b\n- c", "a: [b, \"c\", {d: e}]  # x\n",
		"---\n# c\na: 'b' # c\n", "a: b\n  c", "a:\n  - b\n c: d", "a: {b: c, \"d\": [e]}", "a: b:c", "a: b #c", "a: b#c", "-\n  a: b\n-\n  - c", "\"a\": b", "a: 10.0.0.0/8", "a: -1", "[a]: b", "a: b c d",
		"a: 'b'c", "a: [b c]", "a: []\n", "a: {}", "a:b", "a: \"b\":\n", "a:\n\n\n  b: c", "  a: b\n  c: d", "a: b\n- c", "- a\nb: c", "a: .", "a: ..", "...\na: b", "a: b\n...\n",
	} {
		f.Add([]byte(s))
	}
	files, _ := filepath.Glob("testdata/*valid-*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range splitDocuments(data) {
			f.Add(c.text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(slices.Collect(splitDocuments(text))) != 1 {
			return // it is given single documents only
		}
		got := blockDocument(text)
		if got == nil {
			return
		}
		dec := yaml.NewDecoder(bytes.NewReader(text))
		var want, more yaml.Node
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("parsed what is no YAML: %v\n%s", err, text)
		}
		if dec.Decode(&more) == nil {
			t.Fatalf("parsed one of two documents\n%s", text)
		}
		if a, b := outline(got), outline(fromYAML(want.Content[0], map[*yaml.Node]*node{})); a != b {
			t.Fatalf("parsed\n%s\nas\n%s\nwant\n%s", text, a, b)
		}
	})
}

// outline is what the rest of the package reads of a tree of nodes.
func outline(n *node) string {
	var b strings.Builder
	var walk func(n *node, depth int)
	walk = func(n *node, depth int) {
		fmt.Fprintf(&b, "%*s%d %d %q %v %q\n", depth*2, "", n.line, n.kind, n.value, n.quoted, n.tag)
		for _, c := range n.content {
			walk(c, depth+1)
		}
	}
	walk(n, 0)
	return b.String()
}

// Manifests as people write them are parsed the fast way.
func TestBlockDocumentTakesTypicalManifests(t *testing.T) {
	t.Parallel()
	for _, text := range []string{typical, "---\n" + typical} {
		if blockDocument([]byte(text)) == nil {
			t.Errorf("left to the library:\n%s", text)
		}
	}
}
