package cli

import "testing"

// TestFit shows that the first lines of a page and its last are on every screen.
func TestFit(t *testing.T) {
	t.Parallel()
	const page = "1\n2\n3\n4\n5\nlast\n"
	for height, want := range map[int]string{
		0: page, 7: page, 100: page, // no terminal; exactly; plenty
		6: "1\n2\n3\n… 2 more lines\nlast\n",
		4: "1\n… 4 more lines\nlast\n",
		2: page, // no room for anything
	} {
		if got := fit(page, height); got != want {
			t.Errorf("height %d: got %q, want %q", height, got, want)
		}
	}
	const wrapped = "1\n2\n3\n4\n5\n6\n7\n8\n\n12:00  5 of 10 points;\nwatching answers;\npress Ctrl-C to stop\n"
	if got, want := fit(wrapped, 11), "1\n2\n3\n4\n5\n6\n… 3 more lines\n12:00  5 of 10 points;\nwatching answers;\npress Ctrl-C to stop\n"; got != want {
		t.Errorf("a last paragraph of three lines: got %q, want %q", got, want)
	}
}
