package probe

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLookUp runs the script's look-up against a dig that answers what the case says.
func TestLookUp(t *testing.T) {
	t.Parallel()
	const noerror = ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n"
	v4, v6 := noerror+"x.\t\t30\tIN\tA\t10.96.0.9\n", noerror+"x.\t\t30\tIN\tAAAA\tfd00::9\n"
	for _, tc := range []struct{ name, a, aaaa, want string }{
		{"IPv4", v4, v6, "10.96.0.9 10.96.0.9"},
		{"behind an alias", noerror + "x. 30 IN CNAME y.\ny. 30 IN A 10.96.0.9\ny. 30 IN A 10.96.0.10\n", "", "10.96.0.9 10.96.0.9"},
		{"IPv6 alone", noerror, v6, "fd00::9 [fd00::9]"},
		{"nothing", noerror, noerror, "none"},
		{"no such name", strings.ReplaceAll(noerror, "NOERROR", "NXDOMAIN"), v6, "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{"A": tc.a, "AAAA": tc.aaaa} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			script := "say() { :; }\n" + addressOf + "\n" + lookUp + "\n" +
				`dig() { for last; do :; done; cat "` + dir + `/$last"; }` + "\nif look 0 dig -q x.; then echo $a $b; else echo none; fi\n"
			out, err := exec.Command("sh", "-c", script).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestSay prints what servers might answer as lines that can be read.
func TestSay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"words", "connected in  0.1 s\r\n\tor so\n", "connected in 0.1 s or so"},
		{"quotes", `say "no" \ please`, `say  no    please`},
		{"bytes", "a\x01b\xff\xfec", "a b  c"},
		{"patterns and options", `-n * %s $HOME`, `-n * %s $HOME`},
		{"nothing", "", ""},
		{"long", strings.Repeat("0123456789", 200), strings.Repeat("0123456789", 90)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("sh", "-c", fmt.Sprintf(sayLine, "abc")+"\nsay 7 connect 28 "+quote(tc.text)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var l line
			if err := json.Unmarshal(out, &l); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if l.Nonce != "abc" || l.Probe != 7 || l.Step != stepConnect || l.Code != 28 || l.Text != tc.want {
				t.Errorf("got %+v, want the text %q", l, tc.want)
			}
		})
	}
}
