package policy

import (
	"fmt"

	"github.com/labctl/labctl/internal/wording"
)

// suggest returns " (did you mean …?)" for the nearest of the names, or nothing if none is near.
func suggest(name string, names []string) string {
	if near := wording.Nearest(name, names); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}
