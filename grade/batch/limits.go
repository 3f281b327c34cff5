package batch

import (
	"cmp"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// DefaultLimits are the limits of one submission. The answer to the tutorial lab has 3 KB and 250 values; what
// hurts is values, of which each costs up to a KiB of memory and several microseconds.
func DefaultLimits() manifest.Limits {
	return manifest.Limits{Files: 2000, Documents: 2000, Depth: 64, Nodes: 100_000, FileBytes: 1 << 20, TotalBytes: 16 << 20}
}

func (c *Config) limits() manifest.Limits {
	l, d := c.Limits, DefaultLimits()
	return manifest.Limits{
		Files: cmp.Or(l.Files, d.Files), Documents: cmp.Or(l.Documents, d.Documents), Depth: cmp.Or(l.Depth, d.Depth),
		Nodes: cmp.Or(l.Nodes, d.Nodes), FileBytes: cmp.Or(l.FileBytes, d.FileBytes), TotalBytes: cmp.Or(l.TotalBytes, d.TotalBytes),
	}
}

// maxProblems is how many reasons a result gives for a refusal.
const maxProblems = 100
