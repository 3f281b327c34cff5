package probe

import (
	"strings"
	"testing"
	"unicode"

	"github.com/labctl/labctl/cilium/verdict"
)

// TestWordsOfATamperedPod: the tools in a student's pod may say anything, of any length.
func TestWordsOfATamperedPod(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("x", 1<<20), strings.Repeat("\x1b]0;owned\x07", 1000), "a\x00b\x1b[2Jc\u202ed\u009b31m", strings.Repeat("\xff", 5000), strings.Repeat("é", 3000), "", "  \n\t ",
	} {
		words := printable(text)
		if len(words) > maxWords+len("…") {
			t.Errorf("%.20q has become %d bytes", text, len(words))
		}
		if i := strings.IndexFunc(words, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !strings.EqualFold(words, strings.ToValidUTF8(words, "?")) {
			t.Errorf("%.20q has become %.40q", text, words)
		}
	}
	if got := printable(" dig: \n  an  answer\t"); got != "dig: an answer" {
		t.Errorf("%q", got)
	}
}

// TestDNSStatus: that the proxy refuses a name is a status, not a way of putting it.
func TestDNSStatus(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		";; ->>HEADER<<- opcode: QUERY, status: REFUSED, id: 1":                                                      "REFUSED",
		";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1":                                                     "NXDOMAIN",
		";; ->>HEADER<<- opcode: QUERY, status: SERVFAIL, id: 1 ;; the name server answered REFUSED":                 "SERVFAIL",
		";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1":                                                      "NOERROR",
		";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1 ;; ANSWER SECTION: b. 30 IN A 10.0.0.1 ;; Query time": "",
	} {
		got := looked(0, words)
		if got.DNSStatus != want {
			t.Errorf("%s: %q, want %q", words, got.DNSStatus, want)
		}
		if (got.Verdict == verdict.Allowed) != (want == "") {
			t.Errorf("%s: %s", words, got.Verdict)
		}
	}
	if got := looked(9, ";; communications error: REFUSED"); got.DNSStatus != "" {
		t.Errorf("no answer at all has the status %q", got.DNSStatus)
	}
}
