package policy

import (
	"fmt"

	"github.com/agext/levenshtein"
)

// suggest returns " (did you mean …?)" for the nearest of the names, or nothing if none is near.
func suggest(name string, names []string) string {
	best, distance := "", len(name)/3+2
	for _, n := range names {
		if d := levenshtein.Distance(name, n, nil); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

func (c *Cluster) podNames() []string {
	names := make([]string, len(c.pods))
	for i, p := range c.pods {
		names[i] = p.ref
	}
	return names
}

func (c *Cluster) nodeNames() []string {
	var names []string
	for _, n := range c.nodes {
		if n.name != "" {
			names = append(names, n.name)
		}
	}
	return names
}
