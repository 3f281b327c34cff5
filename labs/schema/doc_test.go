package schema

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/lab-language.md")

const docFile = "../../docs/lab-language.md"

// generated are the tables of the document: "<!-- attributes of app port -->", the table, and "<!-- end -->".
var generated = regexp.MustCompile(`(?s)<!-- (attributes|labels) of ([a-z_ ]+) -->\n(.*?)<!-- end -->`)

// TestDocumentation compares the tables of the document with the schema. `make docs` writes them.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	described := map[*Block]bool{}
	fresh := generated.ReplaceAllStringFunc(doc, func(old string) string {
		m := generated.FindStringSubmatch(old)
		b := find(m[2])
		if b == nil {
			t.Errorf("there is no block %q", m[2])
			return old
		}
		table := attributeTable(b)
		if m[1] == "labels" {
			table = labelTable(b)
		} else {
			described[b] = true
		}
		return fmt.Sprintf("<!-- %s of %s -->\n%s<!-- end -->", m[1], m[2], table)
	})
	names := map[string]bool{}
	for b := range described {
		names[b.Type+strings.Join(b.Labels, "")] = true
	}
	walk(Lab(), func(b *Block) {
		if len(b.Attributes) > 0 && !names[b.Type+strings.Join(b.Labels, "")] {
			t.Errorf("the document does not describe the block %s %v", b.Type, b.Labels)
		}
	})
	if strings.Contains(generated.ReplaceAllString(doc, ""), "| Attribute |") {
		t.Error("the document has a table of attributes that is not generated")
	}
	if fresh == doc {
		return
	}
	if !*update {
		t.Errorf("the tables of %s are stale: run `make docs`", docFile)
		return
	}
	if err := os.WriteFile(docFile, []byte(fresh), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A block that takes for_each is in the document's list of such blocks, and its section says so.
func TestDocumentationOfForEach(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	walk(Lab(), func(b *Block) {
		_, section, ok := strings.Cut(string(data), "\n### "+b.Type+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		section, _, _ = strings.Cut(section, "\n## ")
		if ok && strings.Contains(section, "`for_each`") != b.ForEach {
			t.Errorf("%s: takes for_each: %v, and the document says otherwise", b.Type, b.ForEach)
		}
	})
}

// Every attribute is described completely enough for its row: a meaning, a default that has the attribute's type
// and passes its own checks.
func TestSchemaIsSound(t *testing.T) {
	t.Parallel()
	attributes := 0
	walk(Lab(), func(b *Block) {
		seen := map[string]bool{}
		for i := range b.Attributes {
			a := &b.Attributes[i]
			where := b.Type + "." + a.Name
			attributes++
			switch {
			case seen[a.Name]:
				t.Errorf("%s: stated twice", where)
			case a.Doc == "" || strings.HasSuffix(a.Doc, "."):
				t.Errorf("%s: the meaning is %q", where, a.Doc)
			case a.Required && (a.Default != nil || a.DefaultDoc != ""):
				t.Errorf("%s: required, and has a default", where)
			case a.Min > a.Max:
				t.Errorf("%s: from %v to %v", where, a.Min, a.Max)
			case a.Excludes != "" && b.Attribute(a.Excludes) == nil:
				t.Errorf("%s: excludes %s, which is no attribute", where, a.Excludes)
			}
			seen[a.Name] = true
			if a.Default == nil || a.Default == "" {
				continue
			}
			want := map[Type]string{String: "string", Namespace: "string", Number: "int", Whole: "int", Bool: "bool", StringList: "[]string"}[a.Type]
			if got := fmt.Sprintf("%T", a.Default); got != want {
				t.Errorf("%s: the default of a %s is a %s", where, a.Type, got)
			}
			if list, ok := a.Default.([]string); ok {
				for _, e := range list {
					if p := a.Check(e); p != nil {
						t.Errorf("%s: the default fails: %s", where, p.Detail)
					}
				}
				continue
			}
			if p := a.Check(a.Default); p != nil {
				t.Errorf("%s: the default fails: %s", where, p.Detail)
			}
		}
	})
	if attributes < 100 {
		t.Errorf("only %d attributes", attributes)
	}
}

// walk visits all blocks, those by label too.
func walk(b *Block, visit func(*Block)) {
	for _, nested := range b.Blocks {
		visit(nested)
		walk(nested, visit)
	}
	for _, label := range sortedKeys(b.ByLabel) {
		visit(b.ByLabel[label])
		walk(b.ByLabel[label], visit)
	}
}

// find finds a block by its name in the document: "app", "app port", "cluster kind port_mapping".
func find(name string) *Block {
	var at *Block
	for word := range strings.FieldsSeq(name) {
		switch {
		case at == nil:
			walk(Lab(), func(b *Block) {
				if at == nil && b.Type == word {
					at = b
				}
			})
		case at.ByLabel[word] != nil:
			at = at.ByLabel[word]
		default:
			at = at.Block(word)
		}
		if at == nil {
			return nil
		}
	}
	return at
}

func attributeTable(b *Block) string {
	var text strings.Builder
	text.WriteString("| Attribute | Type | Default | Meaning |\n|---|---|---|---|\n")
	for i := range b.Attributes {
		a := &b.Attributes[i]
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", a.Name, a.Type, a.DefaultText(), a.Meaning())
	}
	return text.String()
}

func labelTable(b *Block) string {
	var text strings.Builder
	label := b.Labels[0]
	fmt.Fprintf(&text, "| %s | Meaning |\n|---|---|\n", strings.ToUpper(label[:1])+label[1:])
	for _, c := range b.LabelOneOf {
		fmt.Fprintf(&text, "| `%s` | %s |\n", c.Value, c.Doc)
	}
	return text.String()
}
