package class

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

func TestPathLists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, manifests, policies string }{
		{"--manifests a b --policies c d", "a b", "c d"},
		{"--manifests=a b --offline c --policies p", "a b c", "p"},
		{"--manifests m --policies - x -o json y", "m", "- x y"},
		{"--policies a -ojson b --manifests c --policies d e", "c", "a b d e"},
		{"--manifests a --policies b -- c", "a", "b c"},
		{"stray --manifests a", "error", ""},
		{"stray", "error", ""},
	} {
		var (
			lists               pathLists
			manifests, policies []string
		)
		cmd := &cobra.Command{Use: "probe", SilenceErrors: true, SilenceUsage: true, RunE: func(_ *cobra.Command, args []string) error { return lists.finish(args) }}
		cmd.SetOut(io.Discard)
		lists.flags = cmd.Flags()
		cmd.Flags().Var(lists.list(&manifests), "manifests", "")
		cmd.Flags().Var(lists.list(&policies), "policies", "")
		cmd.Flags().Bool("offline", false, "")
		var output cli.OutputFlag
		output.Register(cmd)
		cmd.SetArgs(strings.Fields(tt.args))
		got := "error"
		if err := cmd.Execute(); err == nil {
			got = strings.Join(manifests, " ")
		}
		if got != tt.manifests || got != "error" && strings.Join(policies, " ") != tt.policies {
			t.Errorf("%s: manifests %q, policies %q; want %q, %q", tt.args, got, policies, tt.manifests, tt.policies)
		}
	}
}
