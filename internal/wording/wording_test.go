package wording

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		known string // separated by spaces
		want  string
	}{
		{"fronted", "backend frontend", "frontend"},
		{"form", "to from", "from"},                                               // two letters exchanged
		{"networkpolicy", "NetworkPolicy CiliumNetworkPolicy", "NetworkPolicy"},   // case alone
		{"NetworkPolicies", "NetworkPolicy CiliumNetworkPolicy", "NetworkPolicy"}, // a quarter of a long name
		{"CiliumNetwrkPolicys", "NetworkPolicy CiliumNetworkPolicy", "CiliumNetworkPolicy"},
		{"v3", "v1 v2", "v1"}, // the first of the nearest
		{"host", "port", ""},
		{"ab", "xy cd", ""}, // every letter differs
		{"b", "a c", ""},
		{"a", "frontend", ""},
		{"secret", "visible hidden", ""},
		{"", "a", ""},
		{"name", "", ""},
		{strings.Repeat("x", 1000), strings.Repeat("x", 1001), ""},
	} {
		if got := Nearest(tt.name, strings.Fields(tt.known)); got != tt.want {
			t.Errorf("Nearest(%q, %s) = %q, want %q", tt.name, tt.known, got, tt.want)
		}
	}
	if got, want := DidYouMean("fronted", []string{"frontend"}), ` Did you mean "frontend"?`; got != want {
		t.Errorf("DidYouMean: %q, want %q", got, want)
	}
	if got := DidYouMean("x", []string{"frontend"}); got != "" {
		t.Errorf("DidYouMean: %q", got)
	}
}

func TestSentences(t *testing.T) {
	t.Parallel()
	abc := strings.Fields("a b c")
	for got, want := range map[string]string{
		And(nil): "none", And(abc[:1]): "a", And(abc[:2]): "a and b", And(abc): "a, b and c",
		Or(nil): "nothing", Or(Quote(abc)): `"a", "b" or "c"`,
		Count(1, "error"): "1 error", Count(0, "policy"): "0 policies", Count(2, "day"): "2 days", Count(3, "patch"): "3 patches",
		Count(2, "class"): "2 classes", Article("app"): "an app", Article("task"): "a task",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
