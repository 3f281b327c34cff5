package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestReflow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"a paragraph": {
			"One two three\nfour five six seven.\n\nEight.",
			"One two three four five\nsix seven.\n\nEight.",
		},
		"a list, whose items have a hanging indent": {
			"These:\n  - one two three\n    four five\n  - six\nSeven eight nine ten.",
			"These:\n  - one two three four\n    five\n  - six\nSeven eight nine ten.",
		},
		"other indented lines, as they are": {
			"To load:\n\n\tsource <(labctl completion bash)\n    labctl batch networkpolicy submissions/\nDone.",
			"To load:\n\n\tsource <(labctl completion bash)\n    labctl batch networkpolicy submissions/\nDone.",
		},
		"a word that is too long": {"see https://example.org/a/long/address here", "see\nhttps://example.org/a/long/address\nhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Reflow(c.text, 24); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if got := Reflow(c.text, 0); got != c.text {
				t.Errorf("no width changes it to\n%s", got)
			}
		})
	}
}

func TestFoldCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"  labctl labs", "  labctl labs"},
		{"  labctl grade lab --submission answers/ --task 2", "  labctl grade lab \\\n      --submission answers/ --task 2"},
		{"  labctl grade lab --task isolated --offline", "  labctl grade lab --task isolated \\\n      --offline"},
		{"  labctl matrix networkpolicy -o dot | dot -Tpng", "  labctl matrix networkpolicy \\\n      -o dot | dot -Tpng"},
		{"  labctl batch 's3://class/week 3?region=eu-central-1' --out graded/", "  labctl batch \\\n      's3://class/week 3?region=eu-central-1' \\\n      --out graded/"},
		{"  labctl probe lab --with --probes - < probes.json", "  labctl probe lab --with \\\n      --probes - < probes.json"},
	} {
		got := foldCommands(c.text, 36)
		if got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
		if whole := strings.ReplaceAll(got, " \\\n     ", ""); whole != c.text {
			t.Errorf("a shell reads %q as %q", c.text, whole)
		}
	}
}

func TestFlagLines(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("late", "", "late penalty: `SETTINGS` such as grace=15m,penalty=10,cutoff=3d, or none")
	flags.BoolP("all", "a", false, "grade all of it")
	const side = "  -a, --all             grade all of it\n" +
		"      --late SETTINGS   late penalty: SETTINGS\n                        such as\n" +
		"                        grace=15m,penalty=10,cutoff=3d,\n                        or none\n"
	if got := flagLines(flags, 48); got != side {
		t.Errorf("got\n%s\nwant\n%s", got, side)
	}
	const below = "  -a, --all\n          grade all of it\n" +
		"      --late SETTINGS\n          late penalty: SETTINGS such as\n          grace=15m,penalty=10,cutoff=3d,\n          or none\n"
	if got := flagLines(flags, 42); got != below {
		t.Errorf("got\n%s\nwant\n%s", got, below)
	}
	if got := flagLines(flags, 0); got != flags.FlagUsages() {
		t.Errorf("no width gives\n%s", got)
	}
}
