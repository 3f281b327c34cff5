package labs

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the canonical form of a lab file, as `terraform fmt` would format it. It changes only white space.
// A file that does not parse is returned unchanged, with the errors.
func Format(src []byte, filename string) (out []byte, diags hcl.Diagnostics) {
	defer func() {
		if r := recover(); r != nil {
			out, diags = src,
				hcl.Diagnostics{errorDiag(nil, "Cannot format", fmt.Sprintf("%s: internal error: %v. Please report it.",
					filename, r))}
		}
	}()
	if len(src) > maxHCLBytes {
		return src, hcl.Diagnostics{errorDiag(nil, "Cannot format",
			fmt.Sprintf("%s has more than %d bytes.", filename, maxHCLBytes))}
	}
	if _, diags := parseFile(src, filename); diags.HasErrors() {
		return src, diags
	}
	out = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	out = bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n"))
	// Moving a comment can change the layout of its neighbours, so one pass is not always enough.
	for range 4 {
		next := hclwrite.Format(out)
		if len(next) > 0 {
			next = append(bytes.TrimRight(next, "\n"), '\n')
		}
		if bytes.Equal(next, out) {
			break
		}
		out = next
	}
	if _, more := parseFile(out, filename); more.HasErrors() {
		return src, hcl.Diagnostics{errorDiag(nil, "Cannot format",
			fmt.Sprintf("%s would not parse any more. Please report it.", filename))}
	}
	return out, nil
}
