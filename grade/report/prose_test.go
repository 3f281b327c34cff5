package report

import (
	"os"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

const sampleProse = `# The title

A pod is *isolated* as soon as **one policy** selects it; see
[the docs](https://kubernetes.io/docs) and ` + "`kubectl get pods`" + `, a < b &amp; <name>.

> Mind the difference: one empty rule lets everybody in,
> no rule lets nobody in.

- one item that is long enough to be wrapped at this width
  - a nested one
- two

3. three
4. four

| where | what it does |
|---|---|
| ` + "`default`" + ` | asks the **backend** again and again and again |

    kubectl exec deploy/frontend -- curl -sS -m 2 http://backend   # times out

---

Line one\
line two <script>alert(1)</script>
`

func TestProse(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]Style{
		"narrow": {Width: 40}, "terminal": {Width: 60, Color: true}, "unwrapped": {},
	} {
		got := Prose(sampleProse, style)
		golden(t, "prose-"+name+".golden", []byte(got))
		for line := range strings.Lines(got) {
			line = strings.TrimRight(line, "\n")
			if style.Width > 0 && ansi.StringWidth(line) > style.Width && !strings.HasPrefix(ansi.Strip(line), "    kubectl") {
				t.Errorf("%s: a line of %d columns: %q", name, ansi.StringWidth(line), line)
			}
		}
	}
}

// TestProseCommandsNoTerminal shows that a lab's text cannot do what only labctl may.
func TestProseCommandsNoTerminal(t *testing.T) {
	t.Parallel()
	if got := Prose("a\x1b[31mb\x07 `\x1b]0;x\x07`", Style{}); strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("control characters get through: %q", got)
	}
}

func TestProseHTML(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"every dash under `from:` is **another** peer": "every dash under <code>from:</code> is <strong>another</strong> peer",
		"one\n\ntwo":                          "<p>one</p>\n<p>two</p>",
		"<script>alert(1)</script>":           "&lt;script&gt;alert(1)&lt;/script&gt;",
		"a <b onclick=x> <!-- c -->":          "a &lt;b onclick=x&gt; &lt;!-- c --&gt;",
		"<div onclick=x>\nin a block\n</div>": "&lt;div onclick=x&gt;\nin a block\n&lt;/div&gt;",
		"[x](javascript:alert(1))":            `<a href="">x</a>`,
		"[x](data:text/html,x)":               `<a href="">x</a>`,
		"[docs](https://kubernetes.io)":       `<a href="https://kubernetes.io">docs</a>`,
		`[x](https://x "a\"b<c")`:             `<a href="https://x" title="a&quot;b&lt;c">x</a>`,
		"![a picture](https://x/y.png)":       "a picture",
		"":                                    "",
	} {
		if got := string(proseHTML(src)); got != want {
			t.Errorf("%q gives\n%s\nwant\n%s", src, got, want)
		}
	}
}

// TestProseOfLab sets all texts of the lab that ships.
func TestProseOfLab(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("../../labs/networkpolicy/tasks")
	if err != nil || len(entries) < 10 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		data, err := os.ReadFile("../../labs/networkpolicy/tasks/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(Prose(string(data), Style{Width: 60})) {
			line = strings.TrimRight(line, "\n")
			if ansi.StringWidth(line) > 60 && !strings.HasPrefix(line, "    ") {
				t.Errorf("%s: a line of %d columns: %q", e.Name(), ansi.StringWidth(line), line)
			}
		}
	}
}
