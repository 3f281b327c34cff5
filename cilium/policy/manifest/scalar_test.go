package manifest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzScalar: an unquoted value becomes what it becomes for kubectl.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{
		"y", "Yes", "on", "OFF", "n", "true", "TRUE", "tRue", "~", "null", "Null", "0", "-0", "+1", "1_000", "0x1F", "0X1f", "010", "0o10", "0b101", "-0b11", "08", "1e3", "1E-7", "1e400", "1.5", ".5", "5.", ".",
		"-.5", "+.5e1", ".inf", "-.Inf", "+.INF", ".nan", "1:30", "190:20:30", "2001-12-14", "2001-12-14T21:59:43Z", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "9223372036854775807", "1e21", "123456789012345678901234567890",
		"10.0.0.0/8", "::1", "a", "0x", "-", "1_", "_1", "1__0", "0.1.2", "1e", "e1", "+", "0b2", "<<", "=", "0_7", "1.0", "100.0", "1e2", "12e03", "-1.5e-300", "0x_1", "0b", "-0x1F", "1.e5", ".e5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range s {
			if c <= ' ' || c > '~' || strings.ContainsRune(`"'#&*!|>%@{}[],?:`+"`", c) && c != ':' {
				return
			}
		}
		if s == "" || s == "-" || s == "<<" || strings.HasPrefix(s, ":") || strings.HasSuffix(s, ":") || strings.HasPrefix(s, "-:") {
			return
		}
		text := []byte("a: " + s + "\n")
		want, err := yaml.YAMLToJSON(text)
		if err != nil {
			return // .inf and .nan
		}
		docs := parsed(t, File{Name: "a.yaml", Data: text})
		if len(docs) != 1 {
			t.Fatalf("%q: %d documents", s, len(docs))
		}
		c := converter{doc: docs[0]}
		c.value(docs[0].root)
		var a, b any
		if err := json.Unmarshal(c.buf, &a); err != nil {
			t.Fatalf("%s: %v", c.buf, err)
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s became %s, for kubectl it is %s", s, c.buf, want)
		}
	})
}
