package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade/report"
)

// Formats that are more than a file: with the first, what the second writes goes into the job's summary.
const (
	FormatGitHub   = "github"
	FormatMarkdown = "markdown"
	FormatMoodle   = "moodle-csv"
)

func CompleteFormats(cmd *cobra.Command) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("format",
		cobra.FixedCompletions(report.FormatNames(), cobra.ShellCompDirectiveNoFileComp))
}

// JobFile adds to a file that GitHub Actions names in a variable, such as the job's summary; elsewhere it does nothing.
func JobFile(variable string, write func(io.Writer) error) (err error) {
	name := os.Getenv(variable)
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return InfraError{fmt.Errorf("write $%s: %w", variable, err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
