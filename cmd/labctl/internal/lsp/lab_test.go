package lsp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/labs"
)

func texts(diags []diagnostic) string {
	var b strings.Builder
	for _, d := range diags {
		b.WriteString(d.Message + "\n")
	}
	return b.String()
}

// TestLabDiagnostics follows somebody who types: what counts is the unsaved text.
func TestLabDiagnostics(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	f := s.open(filepath.Join(dir, "lab.hcl"), "# ö𝄞\n"+content)
	if diags := s.diagnostics(f.uri, 1); len(diags) > 0 {
		t.Errorf("of a good lab: %v", diags)
	}
}

func TestLabDiagnosticsOfEdits(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	f := s.open(filepath.Join(dir, "lab.hcl"), content+"# ö𝄞\n")
	f.replace("# ö𝄞\n", "/* ö𝄞 */ oops {}\n")
	diags := s.diagnostics(f.uri, 2)
	line := strings.Count(f.text.s, "\n") - 1
	if len(diags) != 1 || !strings.Contains(diags[0].Message, `"oops"`) || diags[0].Severity != severityError ||
		diags[0].Range.Start != (position{line, 10}) {
		t.Errorf("an unknown block, on line %d: %+v", line, diags)
	}
	f.replace("oops {}", "")
	if diags := s.diagnostics(f.uri, 3); len(diags) != 0 {
		t.Errorf("after it was removed: %v", diags)
	}
	f.replace("score = 50\n}", "score = 50\n") // HCL that does not parse
	if diags := s.diagnostics(f.uri, 4); len(diags) == 0 {
		t.Error("nothing about a block that is not closed")
	}
	f.replace("score = 50\n", "score = 50\n}")
	f.replace(`from    = app.frontend`, `from    = app.fronted`)
	if diags := s.diagnostics(f.uri, 6); !strings.Contains(texts(diags), `Did you mean "frontend"?`) {
		t.Errorf("an unknown app: %v", diags)
	}
	// Without the editor, the file on the disk counts.
	s.notify("textDocument/didClose", f.document())
	f.version = 0
	again := s.open(filepath.Join(dir, "lab.hcl"), content)
	if diags := s.diagnostics(again.uri, 1); len(diags) != 0 && s.lastVersion(again.uri) == 1 {
		t.Errorf("after it was opened again: %v", diags)
	}
}

func (s *session) lastVersion(uri string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.diags[uri][len(s.diags[uri])-1].Version
}

// TestOtherHCL leaves alone what is no lab.
func TestOtherHCL(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	f := s.open(filepath.Join(t.TempDir(), "main.hcl"), "job \"x\" {\n}\n")
	var items []completionItem
	s.call("textDocument/completion", f.at("|job"), &items)
	if len(items) > 0 {
		t.Errorf("completion in a file that is no lab: %v", items)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.diags) > 0 {
		t.Errorf("diagnostics of a file that is no lab: %v", s.diags)
	}
}

func labels(items []completionItem) []string {
	var list []string
	for _, i := range items {
		list = append(list, i.Label)
	}
	return list
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	for _, tc := range []struct {
		name        string
		write       string // in place of the marked line
		want, never []string
	}{
		{"in a task", "  |\n", []string{"objective", "hint", "setup", "visibility"}, []string{"points", "namespace", "title"}},
		{"a half-written attribute", "  vis|\n", []string{"visibility"}, nil},
		{"attributes given already", "  title = \"x\"\n  |\n  visibility = \"hidden\"\n", []string{"depends_on"}, []string{"title", "visibility"}},
		{"in a nested block", "  objective \"x\" {\n    expect \"allowed\" {\n      |\n    }\n  }\n", []string{"from", "to", "via", "for_each", "http"}, []string{"points"}},
		{"labels of a block", "  objective \"x\" {\n    expect \"|\" {\n", []string{"allowed", "dropped", "dns_failed"}, []string{"from"}},
		{"choices in a string", "  visibility = \"|\"\n", []string{"visible", "hidden", "after_due"}, nil},
		{"choices without quotes", "  visibility = |\n", []string{`"visible"`}, nil},
		{"references", "  objective \"x\" {\n    expect \"allowed\" {\n      from = |\n", []string{"app.backend", "app.frontend", "dns", "entity", "node"}, nil},
		{"names", "  objective \"x\" {\n    expect \"allowed\" {\n      from = [app.|]\n", []string{"backend", "frontend"}, []string{"app.backend"}},
		{"attributes of a reference", "  objective \"x\" {\n    expect \"allowed\" {\n      to = app.backend.|\n", []string{"port", "labels", "host"}, nil},
		{"ports", "  objective \"x\" {\n    expect \"allowed\" {\n      to = app.backend.port.|\n", []string{"http"}, []string{"labels"}},
		{"tasks in a string", "  depends_on = [\"|\"]\n", []string{"close", "open"}, nil},
		{"objectives in a string", "  objective \"x\" {\n    depends_on = [\"|\"]\n  }\n", []string{"close/isolated"}, nil},
		{"in an interpolation", "  title = \"${app.|}\"\n", []string{"backend"}, nil},
		{"booleans", "  objective \"x\" {\n    bonus = |\n  }\n", []string{"true", "false"}, nil},
		{"at the top", "}\n|\n", []string{"app", "task", "locals", "cluster"}, []string{"lab", "points"}},
		{"attributes of a provider", "}\ncluster \"kind\" {\n  |\n}\n", []string{"workers", "port_mapping"}, []string{"location"}},
		{"unknown block", "  nonsense {\n    |\n", nil, []string{"title"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at := strings.Index(content, "task \"open\" {\n") + len("task \"open\" {\n")
			before, after, _ := strings.Cut(tc.write, "|")
			f := s.open(filepath.Join(dir, "lab.hcl"), content[:at]+before+after+content[at:])
			defer s.notify("textDocument/didClose", f.document())
			var items []completionItem
			s.call("textDocument/completion", positionParams{documentID{URI: f.uri}, f.text.position(at + len(before))}, &items)
			got := labels(items)
			for _, w := range tc.want {
				if !slices.Contains(got, w) {
					t.Errorf("no %q in %q", w, got)
				}
			}
			for _, n := range tc.never {
				if slices.Contains(got, n) {
					t.Errorf("%q in %q", n, got)
				}
			}
			for _, i := range items {
				if i.TextEdit == nil || i.TextEdit.Range.End != f.text.position(at+len(before)) {
					t.Errorf("%s does not end at the cursor: %+v", i.Label, i.TextEdit)
				}
			}
		})
	}
}

// TestEveryAttributeIsDocumented completes and explains each attribute and block of the schema.
func TestEveryAttributeIsDocumented(t *testing.T) {
	t.Parallel()
	var walk func(blocks []openBlock)
	seen := 0
	walk = func(blocks []openBlock) {
		spec := schemaOf(blocks)
		var src strings.Builder
		for _, b := range blocks {
			src.WriteString(b.typ + ` "` + strings.Join(b.labels, `" "`) + "\" {\n")
		}
		doc := &document{text: newText(src.String()), path: "/lab.hcl"}
		c := completer{place: placeAt(doc.s, len(doc.s)), index: indexFiles(nil), doc: doc, offset: len(doc.s), snippets: true}
		items := c.complete()
		for _, a := range spec.Attributes {
			i := slices.IndexFunc(items, func(i completionItem) bool { return i.Label == a.Name })
			if i < 0 || !strings.Contains(items[i].Documentation.Value, a.Doc) {
				t.Errorf("%v: %s is not completed with its documentation", blocks, a.Name)
			}
			written := &document{text: newText(src.String() + a.Name + " = 1\n"), path: "/lab.hcl"}
			if h := hoverAt(written, indexFiles(nil), len(doc.s)+1); h == nil || !strings.Contains(h.Contents.Value, a.Doc) {
				t.Errorf("%v: %s is not explained", blocks, a.Name)
			}
			seen++
		}
		for _, b := range spec.Blocks {
			if !slices.Contains(labelsOf(items), b.Type) {
				t.Errorf("%v: the block %s is not completed", blocks, b.Type)
			}
			labels := []string{"x"}
			if len(b.LabelOneOf) > 0 {
				labels[0] = b.LabelOneOf[0].Value
			}
			if !b.Free {
				walk(append(slices.Clip(blocks), openBlock{b.Type, labels}))
			}
		}
	}
	walk(nil)
	if seen < 80 {
		t.Errorf("only %d attributes", seen)
	}
}

func labelsOf(items []completionItem) []string { return labels(items) }

func TestHover(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	f := s.open(filepath.Join(dir, "lab.hcl"), content)
	for marked, want := range map[string]string{
		"po|ints = 8":             "points that it is worth",
		"obj|ective \"frontend\"": "| `points` |",
		"expect \"all|owed\"":     "the client connects and gets the answer",
		"from    = app.fron|tend": "**app** `frontend`",
		"app.back|end.port.http":  "**app** `backend`",
		"port.ht|tp":              "of the app `backend`",
		"task \"op|en\"":          "Let the frontend in",
	} {
		var h hover
		s.call("textDocument/hover", f.at(marked), &h)
		if h.Contents == nil || !strings.Contains(h.Contents.Value, want) {
			t.Errorf("%s: %+v, want %q", marked, h.Contents, want)
		}
	}
	var none any
	if s.call("textDocument/hover", f.at("|\ntask \"open\""), &none); none != nil {
		t.Errorf("of nothing: %v", none)
	}
}

// TestNames finds and renames what a lab in several files refers to.
func TestNames(t *testing.T) {
	t.Parallel()
	const names = `lab "names" {}
variable "port" { default = 80 }
locals { all = [app.web, app["web"]] }
namespace "shop" {}
namespace "own" { name = "other" }
app "web" {
  namespace = namespace.shop.name
  port "http" { port = var.port }
}
app "each" {
  for_each  = ["a"]
  namespace = "shop"
}
external "site" { host = "example.com" }
`
	const tasks = `task "first" {
  objective "one" {
    points = 1
    expect "allowed" {
      from = app.each["a"]
      to   = app.web.port.http
    }
  }
  objective "many" {
    for_each = ["x"]
    points   = 1
    expect "allowed" {
      from = [for app in local.all : app] # 𝄞
      to   = app.web.port["http"]
    }
  }
}
task "second" {
  depends_on = ["first"]
  objective "two" {
    points     = var.port
    depends_on = ["first/one", "first/many-x"]
    expect "allowed" {
      from = app.each
      to   = external.site
    }
  }
  objective "three" {
    points     = 1
    depends_on = ["two"]
    expect "allowed" {
      from = "${app.web}"
      to   = app.web
    }
  }
}
submission { namespaces = ["shop", "other"] }
`
	dir := t.TempDir()
	for name, content := range map[string]string{"lab.hcl": names, "tasks.hcl": tasks} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("# on the disk\n"+content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t, nil)
	lab := s.open(filepath.Join(dir, "lab.hcl"), names)
	other := s.open(filepath.Join(dir, "tasks.hcl"), tasks)
	for _, tc := range []struct {
		in     *file
		at     string
		to     string
		decl   string // what the declaration's line contains
		places int
	}{
		{other, "from = app.each[\"a\"]\n      to   = app.w|eb", "shop", `app "web"`, 7},
		{lab, `app["we|b"]`, "shop", `app "web"`, 7},
		{other, "depends_on = [\"fir|st\"]", "start", `task "first"`, 4},
		{other, "\"first/o|ne\"", "uno", `objective "one"`, 2},
		{other, "\"first/man|y-x\"", "all", `objective "many"`, 2},
		{other, "depends_on = [\"tw|o\"]", "zwei", `objective "two"`, 2},
		{lab, "var.po|rt", "number", `variable "port"`, 3},
		{other, "local.al|l", "apps", "locals", 2},
		{lab, "namespace.sh|op", "market", `namespace "shop"`, 4},
		{other, "port[\"ht|tp\"]", "web", `port "http"`, 3},
		{other, "external.si|te", "page", `external "site"`, 2},
	} {
		t.Run(tc.at, func(t *testing.T) {
			var where location
			s.call("textDocument/definition", tc.in.at(tc.at), &where)
			in := map[string]*file{lab.uri: lab, other.uri: other}[where.URI]
			if in == nil {
				t.Fatalf("the definition is at %+v", where)
			}
			if line := strings.Split(in.text.s, "\n")[where.Range.Start.Line]; !strings.Contains(line, tc.decl) {
				t.Errorf("the definition is in %q", line)
			}
			var places []location
			s.call("textDocument/references", tc.in.at(tc.at), &places)
			if len(places) != tc.places {
				t.Errorf("%d references, want %d: %v", len(places), tc.places, places)
			}
			var target renameTarget
			s.call("textDocument/prepareRename", tc.in.at(tc.at), &target)
			var edit workspaceEdit
			s.call("textDocument/rename", renameParams{tc.in.at(tc.at), tc.to}, &edit)
			files := map[string]string{}
			for uri, f := range map[string]*file{"lab.hcl": lab, "tasks.hcl": other} {
				files[uri] = apply(f.text.s, edit.Changes[f.uri])
			}
			if err := loads(t, files); err != "" {
				t.Errorf("after the rename of %s the lab has errors:\n%s\n%s", target.Placeholder, err, files)
			}
		})
	}
	for at, to := range map[string]string{
		"namespace.sh|op": "no good", "var.po|rt": "9", "app[\"we|b\"]": "each", "namespace \"sh|op\"": "own",
	} {
		if err := s.try("textDocument/rename", renameParams{lab.at(at), to}, nil); err == nil {
			t.Errorf("%s was renamed to %q", at, to)
		}
	}
	if err := s.try("textDocument/rename", renameParams{lab.at("ho|st = \"example"), "x"}, nil); err == nil {
		t.Error("an attribute was renamed")
	}
	other.replace("submission {", "submission")
	if err := s.try("textDocument/rename", renameParams{lab.at("var.po|rt"), "x"}, nil); err == nil {
		t.Error("a name was renamed in a lab that does not parse")
	}
}

// loads returns the errors of a lab.
func loads(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, diags := labs.Load(os.DirFS(dir), "", labs.LoadOptions{})
	if err := diags.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestFormatting(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	ugly := strings.ReplaceAll(content, "  points = 8", "points=8")
	f := s.open(filepath.Join(dir, "lab.hcl"), ugly)
	var edits []textEdit
	s.call("textDocument/formatting", f.document(), &edits)
	if got := apply(ugly, edits); got != content {
		t.Errorf("formatted:\n%s", got)
	}
	f.replace("points=8", "points=")
	s.call("textDocument/formatting", f.document(), &edits)
	if len(edits) > 0 {
		t.Errorf("a file that does not parse is formatted: %v", edits)
	}
}

func TestObjectiveLenses(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	f := s.open(filepath.Join(dir, "lab.hcl"), content)
	titles := func() string {
		var lenses []codeLens
		s.call("textDocument/codeLens", f.document(), &lenses)
		var list []string
		for _, l := range lenses {
			list = append(list, strings.TrimSpace(strings.Split(f.text.s, "\n")[l.Range.Start.Line])+" "+l.Command.Title)
		}
		return strings.Join(list, "\n")
	}
	if got, want := titles(), "objective \"frontend\" { 2 probes · 8 points"; !strings.Contains(got, want) {
		t.Errorf("no %q in:\n%s", want, got)
	}
	f.replace("points = 8", "points = 80.5")
	if got, want := titles(), "2 probes · 80.5 points"; !strings.Contains(got, want) {
		t.Errorf("no %q in:\n%s", want, got)
	}
}
