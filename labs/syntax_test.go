package labs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// TestSyntaxErrorsStandAlone: of a file that does not parse the error that causes the others is reported, and nothing that
// follows from it.
func TestSyntaxErrorsStandAlone(t *testing.T) {
	t.Parallel()
	const good = `lab "l" {
  title = "L"
}
app "a" {
  port "http" { port = 80 }
}
app "b" {}
task "one" {
  objective "x" {
    points = 1
    expect "denied" {
      from = app.b
      to   = app.a.port.http
    }
  }
}
task "two" {
  objective "y" {
    points = 2
    expect "denied" {
      from = app.b
      to   = app.a.port.http
    }
  }
}
`
	for _, tt := range []struct {
		name, old, by string
		want          string // "line: summary"
	}{
		{"a brace is not opened", `objective "x" {`, `objective "x"`, "9: Invalid block definition"},
		{"a brace is not closed", "    }\n  }\n}\ntask \"two\"", "    }\n  }\ntask \"two\"", "8: Unclosed configuration block"},
		{"a brace too many", "app \"b\" {}", "app \"b\" {}}", "7: Missing newline after block definition"},
		{"a quote is not closed", `title = "L"`, `title = "L`, "2: Invalid multi-line string"},
		{"a quote is not opened", `title = "L"`, `title = L"`, "2: Missing newline after attribute"},
		{"a quote of a label is not closed", `task "one" {`, `task "one {`, "8: Invalid multi-line string"},
		{"a colon", "points = 1", "points: 1", "10: Attribute or block definition required"},
		{"two equals signs", "points = 1", "points = = 1", "10: Invalid expression"},
		{"no value", "points = 1", "points =", "10: Missing value"},
		{"a percentage", "points = 1", "points = 1%", "10: Invalid expression"},
		{"a brace too many at the end of a line", "app \"b\" {}", "app \"b\" {}\n}", "8: Extra closing brace"},
		{"a heredoc is not closed", "title = \"L\"", "title = <<-EOT\n    L\n", "2: Unterminated template string"},
		{"typographic quotes around a label", `app "b" {}`, `app “b” {}`, "7: Invalid character"},
		{"typographic quotes", `title = "L"`, `title = “L”`, "2: Invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(good, tt.old, tt.by, 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			lab, diags := labs.Load(fstest.MapFS{"lab.hcl": {Data: []byte(text)}}, ".", labs.LoadOptions{})
			var got []string
			for _, d := range diags.List() {
				got = append(got, fmt.Sprintf("%d: %s", d.Line, d.Summary))
			}
			if lab != nil || !slices.Equal(got, []string{tt.want}) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if _, diags := labs.Load(fstest.MapFS{"lab.hcl": {Data: []byte(good)}}, ".", labs.LoadOptions{}); diags.HasErrors() {
		t.Error(diags.Err())
	}
}

// TestBrokenBlocksStandAlone: of a block whose type is misspelt, or that has a label too many, this is reported, and not
// that the block, or what it declares, is missing.
func TestBrokenBlocksStandAlone(t *testing.T) {
	t.Parallel()
	const good = `lab "l" {
  title = "L"
}
variable "size" { default = 1 }
app "a" {
  port "http" { port = 80 }
}
app "b" {}
external "office" { cidr = "192.0.2.0/24" }
task "one" {
  objective "x" {
    points = var.size
    expect "denied" {
      from = app.b
      to   = app.a.port.http
    }
  }
}
task "two" {
  depends_on = ["one"]
  hint "h" { text = "Look." }
  objective "y" {
    points     = 2
    depends_on = ["one/x"]
    expect "denied" {
      from = app.b
      to   = external.office
      port = 80
    }
  }
}
sample "s" {
  path   = "s"
  score  = 0
  missed = ["one/x", "two/y"]
}
`
	load := func(text string) []string {
		files := fstest.MapFS{
			"lab.hcl": {Data: []byte(text)},
			"s/p.yaml": {Data: []byte("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n" +
				"spec: {podSelector: {}}\n")},
		}
		_, diags := labs.Load(files, ".", labs.LoadOptions{})
		var got []string
		for _, d := range diags.List() {
			got = append(got, fmt.Sprintf("%d: %s: %s", d.Line, d.Summary, d.Detail))
		}
		return got
	}
	if got := load(good); len(got) > 0 {
		t.Fatalf("without a mistake: %q", got)
	}
	for _, typ := range []string{"lab", "variable", "app", "external", "task", "objective", "expect", "hint", "sample", "port"} {
		for by, want := range map[string]string{
			typ[:len(typ)-1]:   fmt.Sprintf("Did you mean %q?", typ),
			typ + "s":          fmt.Sprintf("Did you mean %q?", typ),
			typ + ` "another"`: fmt.Sprintf("Too many labels: %s block is written %s ", wording.Article(typ), typ),
		} {
			got := load(strings.ReplaceAll(good, typ+" \"", by+" \""))
			count := strings.Count(good, typ+" \"")
			if len(got) != count {
				t.Errorf("%s: %d errors, want %d: %q", by, len(got), count, got)
			}
			for _, g := range got {
				if !strings.Contains(strings.ToLower(g), strings.ToLower(want)) {
					t.Errorf("%s: %s, want %s", by, g, want)
				}
			}
		}
	}
}

// TestConditionErrorsNameTheLine: what is wrong with a CEL expression is reported in plain words, at its line.
func TestConditionErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`"object.size() > 0"`:           `8: there is no "object" (did you mean "objects"?).`,
		`"labels.size() > 0"`:           `8: there is no "labels"; an expression knows objects and namespaces.`,
		`"objects.size() >"`:            `8: it ends too early.`,
		`"objects.all(p, p.x"`:          `8: missing ')' at its end.`,
		`"objects[0].kind = 'x'"`:       `8: CEL compares with ==.`,
		`"objects.every(p, true)"`:      `8: there is no "every"; CEL has all.`,
		`"true or false"`:               `8: CEL writes && for and, || for or, and ! for not.`,
		`"objects.size()"`:              `8: the result is a number, not true or false.`,
		`"objects"`:                     `8: the result is a list, not true or false.`,
		`"objects.size() > '0'"`:        `8: ">" does not take a number and text.`,
		`"'x' in objects.names"`:        `8: a list has no fields; exists(…), all(…) and [0] look into a list.`,
		`"objects.exists(p => p.x)"`:    `8: CEL does not know =>.`,
		`"objects[0].spec == None"`:     `8: there is no "None"; CEL has null.`,
		`"not objects"`:                 `8: unexpected 'objects'.`,
		`" "`:                           `8: it is empty.`,
		"<<-CEL\n  true &&\n  x\n  CEL": `10: there is no "x"; an expression knows objects and namespaces.`,
		"<<CEL\n\n  true\n  && y\nCEL":  `11: there is no "y"; an expression knows objects and namespaces.`,
	} {
		text := fmt.Sprintf(`lab "l" {
  title = "L"
}
app "a" {}
task "one" {
  objective "x" {
    object "o" {
      condition = %s
    }
    points = 1
  }
}
`, condition)
		_, diags := labs.Load(fstest.MapFS{"lab.hcl": {Data: []byte(text)}}, ".", labs.LoadOptions{})
		var got []string
		for _, d := range diags.List() {
			_, reason, _ := strings.Cut(d.Detail, "does not compile: ")
			got = append(got, fmt.Sprintf("%d: %s", d.Line, reason))
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", condition, got, want)
		}
	}
}
