package labs

import (
	"maps"
	"slices"
	"testing"

	"github.com/labctl/labctl/labs/schema"
)

// TestChecksAreDecoded: every kind of check in the schema has a decoder, whose result says that it is of this kind.
func TestChecksAreDecoded(t *testing.T) {
	t.Parallel()
	want := slices.Sorted(slices.Values(schema.CheckKinds()))
	if got := slices.Sorted(maps.Keys(checkDecoders)); !slices.Equal(got, want) {
		t.Fatalf("checkDecoders has %q, schema.CheckKinds %q", got, want)
	}
	for kind, decode := range checkDecoders {
		s := &scope{misspelt: map[string]bool{}, diags: &Diagnostics{}}
		spec := schema.Lab().Block("task").Block("objective").Block(kind)
		n := s.empty(spec)
		n.block.Labels = spec.Labels
		if got := decode(s, n).Type(); got != kind {
			t.Errorf("%s is decoded into a check of the type %s", kind, got)
		}
	}
}
