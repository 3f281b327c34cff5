package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// RegisterLimits adds the flags for what one submission may hold.
func RegisterLimits(cmd *cobra.Command, limits *manifest.Limits) {
	f, most := cmd.Flags(), manifest.SubmissionLimits()
	f.IntVar(&limits.Files, "max-files", most.Files, "maximum number of files per submission")
	f.Int64Var(&limits.TotalBytes, "max-bytes", most.TotalBytes,
		"maximum size of a submission's manifests in bytes; an archive may hold 16 times as much")
	f.Int64Var(&limits.FileBytes, "max-file-bytes", most.FileBytes, "maximum size of one manifest in bytes")
	f.IntVar(&limits.Depth, "max-depth", most.Depth, "maximum depth of folders, and of nesting in a document")
	f.IntVar(&limits.Documents, "max-documents", most.Documents,
		"maximum number of documents per submission, including empty ones and the items of lists")
	f.IntVar(&limits.Nodes, "max-values", most.Nodes,
		"maximum number of values per submission; every use of an alias and every repeated key counts")
	f.IntVar(&limits.Rules, "max-rules", most.Rules, "maximum number of ingress and egress rules per submission")
	f.IntVar(&limits.Entries, "max-entries", most.Entries,
		"maximum number of peers, address ranges, ports, labels and the like in these rules")
	Under(cmd, FlagsOfLimits, "max-files", "max-bytes", "max-file-bytes", "max-depth", "max-documents", "max-values",
		"max-rules", "max-entries")
}

// CheckLimits refuses a limit that nothing can keep to.
func CheckLimits(l manifest.Limits) error {
	for _, limit := range []struct {
		flag  string
		value int64
	}{
		{"max-files", int64(l.Files)}, {"max-bytes", l.TotalBytes}, {"max-file-bytes", l.FileBytes},
		{"max-depth", int64(l.Depth)}, {"max-documents", int64(l.Documents)}, {"max-values", int64(l.Nodes)},
		{"max-rules", int64(l.Rules)}, {"max-entries", int64(l.Entries)},
	} {
		if limit.value <= 0 {
			return fmt.Errorf("--%s must be greater than 0", limit.flag)
		}
	}
	return nil
}
