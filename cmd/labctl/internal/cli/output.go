package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// OutputFlag is -o: text, json, and for some commands more. The zero value allows those two.
type OutputFlag struct {
	Value string
	Hint  string // for who asks for a format that there is not; may be empty
	also  []string
}

func (o *OutputFlag) Register(cmd *cobra.Command, also ...string) {
	o.Value, o.also = "text", also
	cmd.Flags().VarP(o, "output", "o", "output `FORMAT`: "+strings.Join(o.formats(), ", "))
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(o.formats(), cobra.ShellCompDirectiveNoFileComp))
}

func (o *OutputFlag) formats() []string { return append([]string{"text", "json"}, o.also...) }
func (o *OutputFlag) Json() bool        { return o.Value == "json" }
func (o *OutputFlag) String() string    { return o.Value }
func (o *OutputFlag) Type() string      { return "format" }

func (o *OutputFlag) Set(value string) error {
	if !slices.Contains(o.formats(), value) {
		return fmt.Errorf("use one of %s%s", strings.Join(o.formats(), ", "), o.Hint)
	}
	o.Value = value
	return nil
}

// WriteJSON prints v the way every -o json does: indented, HTML characters as they are, one line feed at the end.
func (a *App) WriteJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteJSONLine prints v on one line, for commands that print more than one result.
func (a *App) WriteJSONLine(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
