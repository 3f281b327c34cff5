package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// outputFlag is -o: text, json, and for some commands more. The zero value allows those two.
type outputFlag struct {
	value string
	also  []string
}

func (o *outputFlag) register(cmd *cobra.Command, also ...string) {
	o.value, o.also = "text", also
	cmd.Flags().VarP(o, "output", "o", "how to print the result: "+strings.Join(o.formats(), ", "))
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.formats(), cobra.ShellCompDirectiveNoFileComp))
}

func (o *outputFlag) formats() []string { return append([]string{"text", "json"}, o.also...) }
func (o *outputFlag) json() bool        { return o.value == "json" }
func (o *outputFlag) String() string    { return o.value }
func (o *outputFlag) Type() string      { return "format" }

func (o *outputFlag) Set(value string) error {
	if !slices.Contains(o.formats(), value) {
		return fmt.Errorf("want one of %s", strings.Join(o.formats(), ", "))
	}
	o.value = value
	return nil
}

// writeJSON prints v the way every -o json does: indented, HTML characters as they are, one line feed at the end.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeJSONLine prints v on one line, for commands that print more than one result.
func (a *app) writeJSONLine(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
