package lsp

import (
	"strings"
	"testing"
)

// TestPositions converts positions in UTF-16 units, which count 𝄞 twice and ö once.
func TestPositions(t *testing.T) {
	t.Parallel()
	txt := newText("aö𝄞b\r\nc\n\rd")
	for _, tc := range []struct {
		pos    position
		offset int
	}{
		{position{0, 0}, 0}, {position{0, 1}, 1}, {position{0, 2}, 3}, {position{0, 4}, 7}, {position{0, 5}, 8},
		{position{1, 0}, 10}, {position{1, 1}, 11}, {position{2, 0}, 12}, {position{3, 0}, 13}, {position{3, 1}, 14},
	} {
		if got := txt.offset(tc.pos); got != tc.offset {
			t.Errorf("offset of %v: %d, want %d", tc.pos, got, tc.offset)
		}
		if got := txt.position(tc.offset); got != tc.pos {
			t.Errorf("position of %d: %v, want %v", tc.offset, got, tc.pos)
		}
	}
	for pos, want := range map[position]int{{0, 99}: 8, {0, -3}: 0, {-1, 5}: 0, {99, 0}: len(txt.s), {0, 3}: 7} {
		if got := txt.offset(pos); got != want {
			t.Errorf("offset of %v: %d, want %d", pos, got, want)
		}
	}
}

// FuzzEdit shows that no change that an editor sends breaks a document.
func FuzzEdit(f *testing.F) {
	f.Add("a\r\nb", "x", 0, 1, 1, 0)
	f.Add("ö𝄞", "\r", -1, 5, 1<<40, -7)
	f.Fuzz(func(t *testing.T, content, inserted string, l1, c1, l2, c2 int) {
		at := span{position{l1, c1}, position{l2, c2}}
		edited := newText(content).edit(change{Range: &at, Text: inserted})
		if !strings.Contains(edited.s, inserted) {
			t.Errorf("%q is not in %q", inserted, edited.s)
		}
		edited.position(edited.offset(at.End))
	})
}

// FuzzPlace shows that a place can be found in any text.
func FuzzPlace(f *testing.F) {
	f.Add("task \"x\" {\n  objective \"y\" {\n    points = [", 30)
	f.Add("}}}} = \"${ <<EOT\nx", 5)
	f.Fuzz(func(t *testing.T, src string, offset int) {
		offset = max(0, min(offset, len(src)))
		p := placeAt(src, offset)
		doc := &document{text: newText(src), path: "/x.hcl"}
		c := completer{place: p, index: indexFiles(nil), doc: doc, offset: offset}
		c.complete()
		hoverAt(doc, indexFiles(nil), offset)
	})
}
