package schema

import (
	"fmt"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

// DefaultText describes in Markdown what holds without the attribute: "required", a value, or words. "—" is nothing.
func (a *Attribute) DefaultText() string {
	switch def := a.Default.(type) {
	case nil:
	case string:
		if def != "" && a.DefaultDoc == "" {
			return code(def)
		}
	case []string:
		return "`[" + strings.Join(wording.Quote(def), ", ") + "]`"
	case bool:
		return fmt.Sprintf("`%t`", def)
	default:
		return fmt.Sprint(def)
	}
	switch {
	case a.Required:
		return "required"
	case a.DefaultDoc != "":
		return a.DefaultDoc
	}
	return "—"
}

// Meaning describes the attribute in Markdown, with its choices and bounds.
func (a *Attribute) Meaning() string {
	text := a.Doc
	switch {
	case a.Type == NameOrNumber && a.Choices != nil:
		text += ": " + bounds(a) + ", or " + wording.Or(codes(a.Choices))
	case a.Choices != nil:
		text += ": " + describe(a.Choices)
	case a.Bounded():
		text += " (" + bounds(a) + ")"
	}
	return text
}

func bounds(a *Attribute) string {
	return number(a.Min) + " to " + number(a.Max)
}

// describe lists choices, with what they mean if any of them says so.
func describe(choices []Choice) string {
	list := make([]string, len(choices))
	explained := false
	for i, c := range choices {
		list[i] = code(c.Value)
		if c.Doc != "" {
			list[i] += " (" + c.Doc + ")"
			explained = true
		}
	}
	if explained {
		return strings.Join(list, ", ")
	}
	return wording.Or(list)
}

func code(text string) string { return "`\"" + text + "\"`" }

func codes(choices []Choice) []string {
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = code(c.Value)
	}
	return list
}
