package manifest

import (
	"fmt"
	"strings"
	"testing"
)

const lookalikeBase = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-frontend
  namespace: default
spec:
  podSelector:
    matchLabels:
      app: backend
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: frontend
    ports:
    - protocol: TCP
      port: 8080
`

const lookalikeCilium = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: allow-frontend
spec:
  endpointSelector:
    matchLabels:
      app: backend
  ingress:
  - fromEndpoints:
    - matchExpressions:
      - {key: app, operator: In, values: ["frontend"]}
    toPorts:
    - ports:
      - {port: "8080", protocol: TCP}
      rules:
        http:
        - path: "/public"
  egress:
  - toFQDNs:
    - matchName: example.com
`

// Wherever a character that cannot be seen, or looks like another, keeps YAML from meaning what was meant, the problem
// names it, with line and column, and says what to do.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, old, new string
		place          string // line of the problem, and its column if there is one
		want           []string
	}{
		{"typographic quotes", "app: frontend", "app: “frontend”", "16: column 16", []string{"“ (U+201C)", `a straight "`}},
		{"single ones", "app: frontend", "app: ‘frontend’", "16: column 16", []string{"U+2018", "a straight '"}},
		{"German ones", "app: frontend", "app: „frontend“", "16: column 16", []string{"U+201E"}},
		{"a no-break space as indentation", "  podSelector:\n    matchLabels:\n      app: backend", "\u00a0 podSelector:\n    matchLabels:\n      app: backend", "7", []string{"U+00A0", "no-break space", "ordinary space"}},
		{"as part of one", "  podSelector:\n    matchLabels:\n      app: backend", " \u00a0podSelector:\n    matchLabels:\n      app: backend", "7", []string{"U+00A0"}},
		{"deeper", "      app: backend", "    \u00a0\u00a0app: backend", "9", []string{"U+00A0"}},
		{"after a colon", "app: backend", "app:\u00a0backend", "9", []string{"U+00A0", "column 11"}},
		{"before a colon", "app: backend", "app\u00a0: backend", "9: column 10", []string{"U+00A0"}},
		{"at the end of a value", "app: frontend", "app: frontend\u00a0", "16: column 24", []string{"U+00A0"}},
		{"at the end of a line with a key", "  podSelector:\n    matchLabels:\n      app: backend", "  podSelector:\u00a0\n    matchLabels:\n      app: backend", "7", []string{"U+00A0"}},
		{"in the kind", "kind: NetworkPolicy", "kind: NetworkPolicy\u00a0", "2: column 20", []string{"U+00A0"}},
		{"in the version", "networking.k8s.io/v1", "networking.k8s.io/v1\u200b", "1", []string{"U+200B"}},
		{"in the name", "allow-frontend", "allow–frontend", "4: column 14", []string{"– (U+2013)", "write - instead"}},
		{"in the namespace", "namespace: default", "namespace: default\u200b", "5: column 21", []string{"zero-width"}},
		{"a zero-width space", "app: frontend", "app: front\u200bend", "16: column 21", []string{"U+200B", "delete it"}},
		{"a zero-width joiner", "app: frontend", "app: front\u200dend", "16: column 21", []string{"U+200D", "invisible"}},
		{"a soft hyphen", "app: frontend", "app: front\u00adend", "16: column 21", []string{"U+00AD"}},
		{"a byte order mark", "app: frontend", "app: \ufefffrontend", "16: column 16", []string{"U+FEFF", "byte order mark"}},
		{"in a key", "      app: backend", "      \u200bapp: backend", "9: column 7", []string{"U+200B"}},
		{"in a field", "policyTypes:", "policy\u200bTypes:", "10: column 9", []string{"U+200B"}},
		{"a full-width colon", "app: frontend", "app：frontend", "16", []string{"： (U+FF1A)", "write : instead"}},
		{"a full-width colon after a field", "protocol: TCP", "protocol：TCP", "18", []string{"U+FF1A"}},
		{"in the header", "kind: NetworkPolicy", "kind：NetworkPolicy", "2", []string{"U+FF1A"}},
		{"full-width digits", "port: 8080", "port: ８０８０", "19: column 13", []string{"U+FF18", "write 8 instead"}},
		{"an en dash for a list", "  - Ingress", "  – Ingress", "11", []string{"U+2013"}},
		{"for a list of mappings", "  - from:", "  – from:", "13", []string{"U+2013", "write - instead"}},
		{"a bullet", "  - Ingress", "  • Ingress", "11", []string{"U+2022", "item of a list"}},
		{"an em dash", "    - podSelector:", "    — podSelector:", "14", []string{"U+2014"}},
		{"a full-width brace", "  podSelector:\n    matchLabels:\n      app: backend\n", "  podSelector: ｛｝\n", "7: column 16", []string{"U+FF5B"}},
		{"an ideographic space", "app: frontend", "app:\u3000frontend", "16", []string{"U+3000"}},
		{"a Cyrillic letter", "app: frontend", "app: frоntend", "16: column 18", []string{"U+043E", "looks like o"}},
		{"in an escape", "app: frontend", `app: "front\u200bend"`, "16", []string{"U+200B"}},
		{"a mathematical letter", "app: frontend", "app: front𝚎nd", "16: column 21", []string{"U+1D68E", "another form of e", "write e instead"}},
		{"a number in a circle", "port: 8080", "port: ⑧080", "19: column 13", []string{"U+2467", "write 8 instead"}},
		{"a small colon", "app: frontend", "app﹕ frontend", "16: column 14", []string{"U+FE55", "write : instead"}},
		{"a modifier letter colon", "app: frontend", "appː frontend", "16: column 14", []string{"U+02D0", "write : instead"}},
		{"a dotless i", "protocol: TCP", "protocol: TCP\u0131", "18: column 20", []string{"U+0131", "write i instead"}},
		{"a Roman numeral", "podSelector:\n    matchLabels:\n      app: backend", "podSeⅼector:\n    matchLabels:\n      app: backend", "7: column 8", []string{"U+217C", "write l instead"}},
		{"a blank of Braille", "app: frontend", "app: frontend\u2800", "16: column 24", []string{"U+2800", "invisible"}},
		{"a Hangul filler", "app: frontend", "app: frontend\u3164", "16: column 24", []string{"U+3164", "invisible"}},
		{"a variation selector", "app: frontend", "app: frontend\ufe0f", "16: column 24", []string{"U+FE0F", "invisible"}},
		{"a tag", "app: frontend", "app: frontend\U000e0061", "16: column 24", []string{"U+E0061", "invisible"}},
		{"a grapheme joiner", "app: frontend", "app: front\u034fend", "16: column 21", []string{"U+034F", "invisible"}},
		{"single guillemets", "app: frontend", "app: ‹frontend›", "16: column 16", []string{"U+2039"}},
		{"ornamental quotes", "app: frontend", "app: ❝frontend❞", "16: column 16", []string{"U+275D"}},
		{"a hyphen bullet", "  - Ingress", "  ⁃ Ingress", "11", []string{"U+2043", "item of a list"}},
		{"an ideographic full stop", "networking.k8s.io/v1", "networking。k8s.io/v1", "1", []string{"U+3002", "write . instead"}},
		{"an ellipsis", "app: frontend", "app: frontend…", "16: column 24", []string{"U+2026"}},
		{"a line separator", "app: frontend", "app: \"front\u2028end\"", "16", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(lookalikeBase, tt.old, tt.new, 1)
			if text == lookalikeBase {
				t.Fatal("nothing was replaced")
			}
			_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
			if len(problems) == 0 {
				t.Fatalf("accepted:\n%s", text)
			}
			line, column, _ := strings.Cut(tt.place, ": ")
			got := problems[0].String()
			for _, want := range append(tt.want, "a.yaml:"+line+":", column) {
				if !strings.Contains(got, want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if strings.ContainsAny(got, "\u00a0\u200b\u200d\ufeff\u00ad\u3000") {
				t.Errorf("shows what cannot be seen: %q", got)
			}
		})
	}
}

// What the schemas of Cilium let pass, a look-alike still keeps from matching.
func TestLookalikesThatTheAPIServerTakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, new, want string }{
		{"key: app", "key: app\u200b", "12: spec.ingress[0].fromEndpoints[0].matchExpressions[0].key"},
		{`values: ["frontend"]`, "values: [“frontend”]", "12: spec.ingress[0].fromEndpoints[0].matchExpressions[0].values[0]"},
		{`"/public"`, `"/public` + "\u00a0" + `"`, "18: spec.ingress[0].toPorts[0].rules.http[0].path"},
		{"matchName: example.com", "matchName: example\u00ad.com", "21: spec.egress[0].toFQDNs[0].matchName"},
		{"      app: backend", "      app\u200b: backend", "8: spec.endpointSelector.matchLabels"},
	} {
		text := strings.Replace(lookalikeCilium, tt.old, tt.new, 1)
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
		line, field, _ := strings.Cut(tt.want, ": ")
		if len(problems) == 0 || fmt.Sprint(problems[0].Line) != line || !strings.HasPrefix(problems[0].Field, field) || !strings.Contains(problems[0].Message, "U+") {
			t.Errorf("%q: got %v", tt.new, problems)
		}
	}
}

// Who writes text for people may write it as people do.
func TestLookalikesInTexts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"comments":        "# “my” policy – it\u00a0works…\n" + strings.Replace(lookalikeBase, "app: frontend", "app: frontend # the “frontend”\u200b", 1),
		"annotations":     strings.Replace(lookalikeBase, "  namespace: default\n", "  namespace: default\n  annotations:\n    note: “Let the frontend in” – see\u00a0§ 3…\n    more: |\n      • ‘one’\n      • two：three\n", 1),
		"a description":   strings.Replace(lookalikeCilium, "spec:\n", "spec:\n  description: “Let the frontend in” – please\n", 1),
		"an argument":     "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    args: [“x”, \"–v\"]\n    env: [{name: A, value: “x”}]\n",
		"other objects":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  “key”: “value”\n",
		"another script":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {a: О нас “тут”, b: 名前：値}}\n",
		"managed fields":  strings.Replace(lookalikeBase, "  namespace: default\n", "  namespace: default\n  managedFields: [{manager: “x”, operation: Update}]\n", 1),
		"a mark in front": "\ufeff" + lookalikeBase,
	} {
		if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{}); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestPastedAlong(t *testing.T) {
	t.Parallel()
	numbered := func(format string) string {
		var b strings.Builder
		for i, line := range strings.Split(strings.TrimSuffix(lookalikeBase, "\n"), "\n") {
			fmt.Fprintf(&b, format, i+1, line)
		}
		return b.String()
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a fence", "```yaml\n" + lookalikeBase + "```\n", "a.yaml:1: a Markdown code fence"},
		{"a fence at the end", lookalikeBase + "```\n", "a.yaml:20: a Markdown code fence"},
		{"a fence after a document", lookalikeBase + "---\n" + lookalikeBase + "```\n", "a.yaml:40: a Markdown code fence"},
		{"tildes", "~~~\n" + lookalikeBase + "~~~\n", "a.yaml:1: a Markdown code fence"},
		{"a here-document", "cat <<EOF | kubectl apply -f -\n" + lookalikeBase + "EOF\n", "a.yaml:1: a shell command (a here-document), not YAML (delete the line, and the closing EOF)"},
		{"a quoted one", "kubectl apply -f - <<'END'\n" + lookalikeBase + "END\n", "and the closing END"},
		{"into a file", "$ cat > policy.yaml <<-\"EOT\"\n" + lookalikeBase + "EOT\n", "and the closing EOT"},
		{"with documents", "cat <<EOF | kubectl apply -f -\n---\n" + lookalikeBase + "---\n" + lookalikeBase + "EOF\n", "a.yaml:1: a shell command (a here-document)"},
		{"only its end", lookalikeBase + "EOF\n", "a.yaml:20: EOF is the end of a shell here-document"},
		{"a command", "kubectl apply -f policy.yaml\n" + lookalikeBase, "a.yaml:1: a shell command"},
		{"what it printed", lookalikeBase + "networkpolicy.networking.k8s.io/allow-frontend created\n", "a.yaml:20: what kubectl printed"},
		{"a template", strings.Replace(lookalikeBase, "app: backend", "app: {{ .Values.app }}{{ end }}", 1), "a.yaml:9: a template"},
		{"numbered lines", numbered("%3d  %s\n"), "line numbers"},
		{"lines after a bar", numbered("%d | %s\n"), "a.yaml:1: a line with its number"},
		{"lines after a dot", numbered("%d. %s\n"), "a.yaml:1: a line with its number"},
		{"lines after a tab", numbered("%d\t%s\n"), "a.yaml:1: a line with its number"},
		{"lines after a colon", numbered("%d: %s\n"), "a.yaml:1: a line with its number"},
		{"an added file", "diff --git a/p.yaml b/p.yaml\n--- /dev/null\n+++ b/p.yaml\n@@ -0,0 +1 @@\n+" + strings.ReplaceAll(lookalikeBase, "\n", "\n+"), "a.yaml:1: a line of a diff"},
		{"added lines", "+" + strings.ReplaceAll(lookalikeBase, "\n", "\n+"), "a.yaml:1: a line of a diff"},
		{"quoted lines", "> " + strings.ReplaceAll(lookalikeBase, "\n", "\n> "), "a.yaml:1: a line of a diff or of quoted text"},
		{"a merge conflict", strings.Replace(lookalikeBase, "      app: frontend\n", "          app: a\n<<<<<<< HEAD\n          app: b\n=======\n          app: c\n>>>>>>> x\n", 1), "the mark of a merge conflict"},
		{"a prompt", "ada@lab:~$ vi p.yaml\n" + lookalikeBase, "a.yaml:1: a command after the prompt"},
		{"a prompt of root", "root@lab:/# more p.yaml\n" + lookalikeBase, "a.yaml:1: a command after the prompt"},
		{"a prompt of PowerShell", "PS C:\\Users\\ada> type p.yaml\n" + lookalikeBase, "a.yaml:1: a command after the prompt"},
		{"what echo prints", "echo '" + lookalikeBase + "' | kubectl apply -f -\n", "a.yaml:1: a shell command"},
		{"breaks of a web page", strings.ReplaceAll(lookalikeBase, "\n", "<br>\n"), "a.yaml:1: a piece of a web page"},
		{"spaces of a web page", strings.ReplaceAll(lookalikeBase, "  ", "&nbsp;&nbsp;"), "a piece of a web page"},
		{"an office document", "PK\x03\x04\x14\x00", "a.yaml:1: the file is a .zip archive or an office document"},
		{"RTF", `{\rtf1\ansi apiVersion: v1}`, "a.yaml:1: the file is a word-processor document"},
		{"a picture", "\x89PNG\r\n\x1a\n", "a.yaml:1: the file is a picture"},
		{"a command alone", "kubectl get networkpolicy", "a.yaml:1: a shell command"},
		{"Windows-1252", strings.Replace(lookalikeBase, "app: frontend", "app: \x93frontend\x94", 1), "a.yaml:16: the file is not UTF-8: byte 0x93 at column 16, which is “ (U+201C) in Windows-1252 (save it as UTF-8, and write a straight \" instead)"},
		{"its spaces", strings.Replace(lookalikeBase, "app: frontend", "app:\xa0frontend", 1), "which is U+00A0 in Windows-1252"},
		{"its letters", "# für\n# f\xfcr\n" + lookalikeBase, "a.yaml:2: the file is not UTF-8: byte 0xFC at column 4, which is ü (U+00FC) in Windows-1252"},
		{"UTF-16", "\xff\xfea\x00", "UTF-16"},
		{"UTF-16 without a mark", "a\x00:\x00 \x00b\x00", "zero bytes"},
		{"marks in the middle", lookalikeBase + "\ufeff---\n" + lookalikeBase, "U+FEFF"},
	} {
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(tt.text)}}, Limits{})
		if len(problems) == 0 || !strings.Contains(problems.Error(), tt.want) {
			t.Errorf("%s: got\n%v\nwant %s", tt.name, problems, tt.want)
		}
	}
}

func TestFilesOfOtherPrograms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, text, want string }{
		{"a.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n", "kustomize"},
		{"a.yaml", "kind: Kustomization\nresources: [a.yaml]\n", "kustomize"},
		{"x/kustomization.yaml", "resources:\n- a.yaml\n", "kustomize"},
		{"Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n", "Helm chart"},
		{"values.yaml", "replicas: 2\n", "Helm chart"},
	} {
		_, problems := Parse([]File{{Name: tt.file, Data: []byte(tt.text)}}, Limits{})
		if len(problems) != 1 || !strings.Contains(problems[0].Message, tt.want) {
			t.Errorf("%s: got %v", tt.file, problems)
		}
	}
	flux := "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\n"
	if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(flux)}}, Limits{}); len(problems) > 0 {
		t.Errorf("an object of the cluster: %v", problems)
	}
}
