package cilium

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	for _, tc := range []struct {
		name   string
		layers []m
		want   m
	}{
		{"none", nil, m{}},
		{"maps are merged", []m{{"a": m{"x": 1, "y": 1}}, {"a": m{"y": 2}}}, m{"a": m{"x": 1, "y": 2}}},
		{"lists are replaced", []m{{"a": []any{1, 2}}, {"a": []any{3}}}, m{"a": []any{3}}},
		{"a map replaces a value", []m{{"a": 1}, {"a": m{"x": 1}}}, m{"a": m{"x": 1}}},
		{"a value replaces a map", []m{{"a": m{"x": 1}}, {"a": false}}, m{"a": false}},
		{"null stays, for Helm to drop the chart's default", []m{{"a": m{"x": 1}}, {"a": nil}}, m{"a": nil}},
		{"the last wins", []m{{"a": 1}, {"a": 2}, {"a": 3}}, m{"a": 3}},
		{"an empty layer", []m{{"a": 1}, nil, {}}, m{"a": 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Merge(tc.layers...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMergeLeavesLayers: layers are used again, so a merge must not write into them.
func TestMergeLeavesLayers(t *testing.T) {
	t.Parallel()
	below, above := map[string]any{"a": map[string]any{"x": 1}}, map[string]any{"a": map[string]any{"y": 2}, "b": map[string]any{"z": 3}}
	Merge(below, above)["a"].(map[string]any)["x"] = 9
	Merge(below, above)["b"].(map[string]any)["z"] = 9
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"x": 1}}, below); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"y": 2}, "b": map[string]any{"z": 3}}, above); diff != "" {
		t.Error(diff)
	}
}

func TestReadValues(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", "hubble: {relay: {enabled: true}, enabled: true}\n")
	b := write("b.yaml", "hubble: {relay: {enabled: false}}\n")
	got, err := ReadValues(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"hubble": map[string]any{"enabled": true, "relay": map[string]any{"enabled": false}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = ReadValues(a, filepath.Join(dir, "none.yaml"))
	check(t, err, "no such file")
	_, err = ReadValues(write("bad.yaml", "hubble: [\n"))
	check(t, err, "bad.yaml")
	_, err = ReadValues(write("list.yaml", "- a\n"))
	check(t, err, "list.yaml")
}

// TestDefaults: what a lab's text relies on.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, relay := range []bool{true, false} {
		hubble := Defaults(relay)["hubble"].(map[string]any)
		if hubble["enabled"] != true || hubble["relay"].(map[string]any)["enabled"] != relay {
			t.Errorf("relay %v: %v", relay, hubble)
		}
	}
}
