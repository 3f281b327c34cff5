package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

// Release is the version that this source is on the way to; what a lab's required_version is held against.
const Release = "0.1.0"

// versionInfo is what `labctl version` says.
type versionInfo struct {
	FormatVersion int            `json:"format_version"`
	Version       string         `json:"version"`
	RuleModel     string         `json:"cilium_rule_model"`
	Schemas       map[string]int `json:"schemas"`
	Go            string         `json:"go"`
	Platform      string         `json:"platform"`
}

func NewVersionCommand(app *App) *cobra.Command {
	var output OutputFlag
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of labctl, its rule model and its JSON schemas",
		Long:  `Print the versions of labctl, of its copy of Cilium's rule model, and of its JSON schemas.`,
		Example: `  labctl version
  labctl version -o json`,
		Args: Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			info := versions()
			if output.Json() {
				return app.WriteJSON(info)
			}
			fmt.Fprintf(app.Out, "labctl %s (%s, %s)\n", info.Version, info.Go, info.Platform)
			fmt.Fprintf(app.Out, "Cilium rule model %s\n", info.RuleModel)
			fmt.Fprintf(app.Out, "schemas: report %d, probe %d, diagnostics %d\n",
				info.Schemas["report"], info.Schemas["probe"], info.Schemas["diagnostics"])
			return nil
		},
	}
	output.Register(cmd)
	return cmd
}

func versions() versionInfo {
	info := versionInfo{
		FormatVersion: 1,
		Version:       ToolVersion(),
		RuleModel:     "v" + labs.DefaultCiliumVersion,
		Schemas:       map[string]int{"report": 1, "probe": 1, "diagnostics": 1},
		Go:            runtime.Version(),
		Platform:      runtime.GOOS + "/" + runtime.GOARCH,
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range build.Deps {
			if dep.Path == "github.com/cilium/cilium" {
				info.RuleModel = dep.Version
			}
		}
	}
	return info
}

// ToolVersion names the build: the tag for `go install …@v1.2.3`, the release in the making and the
// commit for a build of a checkout.
func ToolVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return Release + "-dev"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" && !strings.HasPrefix(v, "v0.0.0-") {
		return strings.TrimPrefix(v, "v")
	}
	var commit, modified string
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = "+" + s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ".modified"
		}
	}
	if commit == "" {
		return Release + "-dev"
	}
	return Release + "-dev" + commit + modified
}
