package labs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/labs"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"aligned":          {"lab \"x\" {\ntitle=\"t\"\n  pass_mark   = 7\n}\n", "lab \"x\" {\n  title     = \"t\"\n  pass_mark = 7\n}\n"},
		"already":          {"lab \"x\" {}\n", "lab \"x\" {}\n"},
		"CRLF":             {"lab \"x\" {\r\n  title = \"t\"\r\n}\r\n", "lab \"x\" {\n  title = \"t\"\n}\n"},
		"byte order mark":  {"\xef\xbb\xbflab \"x\" {}\n", "lab \"x\" {}\n"},
		"no newline":       {"lab \"x\" {}", "lab \"x\" {}\n"},
		"newlines at end":  {"lab \"x\" {}\n\n\n", "lab \"x\" {}\n"},
		"empty":            {"", ""},
		"comments":         {"# a\nlab \"x\" {\n# b\ntitle = \"t\" // c\n}\n", "# a\nlab \"x\" {\n  # b\n  title = \"t\" // c\n}\n"},
		"heredoc is text":  {"locals {\na = <<EOT\n  x  =  1\nEOT\n}\n", "locals {\n  a = <<EOT\n  x  =  1\nEOT\n}\n"},
		"broken is as was": {"lab \"x\" {", "lab \"x\" {"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := labs.Format([]byte(tt.in), "lab.hcl")
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What ships is formatted.
func TestShippedFilesAreFormatted(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("[ns]*/*.hcl") // networkpolicy and skeleton
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		formatted, diags := labs.Format(data, file)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if string(formatted) != string(data) {
			t.Errorf("%s is not formatted: run `labctl fmt labs/%s`", file, file)
		}
	}
}
