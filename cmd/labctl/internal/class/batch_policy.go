package class

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/labs"
)

// HandInFlags say when submissions have to come in, and which counts, instead of the lab.
type HandInFlags struct {
	due      string
	late     []string
	attempts []string
}

// Register adds the flags.
func (f *HandInFlags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.due, "due", "", "due `TIME` (RFC 3339) of submissions without one in the list")
	flags.StringSliceVar(&f.late, "late", nil,
		"late penalty, instead of the lab's: `SETTINGS` such as grace=15m,penalty=10,cutoff=3d, or none")
	flags.StringSliceVar(&f.attempts, "attempts", nil,
		"rules on attempts, instead of the lab's: `SETTINGS` such as limit=5,counts=best")
	cli.Under(cmd, cli.FlagsOfClass, "due", "late", "attempts")
}

// Apply sets what the lab and the flags say.
func (f *HandInFlags) Apply(lab *labs.Lab, cfg *batch.Config) error {
	if f.due != "" {
		due, err := time.Parse(time.RFC3339, f.due)
		if err != nil {
			return fmt.Errorf("invalid --due %q: use a time such as 2026-11-23T18:00:00+01:00 (RFC 3339)", f.due)
		}
		cfg.Due = due
	}
	cfg.Late, cfg.Attempts = lab.Late, lab.Attempts
	for _, setting := range f.late {
		if setting == "none" {
			cfg.Late = labs.DefaultLate()
			continue
		}
		attr, value, _ := strings.Cut(setting, "=")
		if err := cfg.Late.Set(attr, value); err != nil {
			return fmt.Errorf("--late %s: %w", setting, err)
		}
	}
	if err := cfg.Late.Check(); err != nil {
		return fmt.Errorf("--late: %w", err)
	}
	for _, setting := range f.attempts {
		attr, value, _ := strings.Cut(setting, "=")
		if err := cfg.Attempts.Set(attr, value); err != nil {
			return fmt.Errorf("--attempts %s: %w", setting, err)
		}
	}
	return nil
}
