package schema

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

// Problem is what is wrong with the value of an attribute.
type Problem struct {
	Summary string // "Out of range"
	Detail  string // one or more sentences that name the attribute and the value
}

// Error returns the detail as an error is written: without a full stop.
func (p *Problem) Error() string { return strings.TrimSuffix(p.Detail, ".") }

// Check returns what is wrong with a value of the attribute's type (string, bool, int, float64, map[string]string),
// or nil. It checks bounds, choices and format. Of a list it checks one element.
func (a *Attribute) Check(value any) *Problem {
	switch v := value.(type) {
	case string:
		return a.checkString(v)
	case int:
		return a.checkNumber(float64(v), strconv.Itoa(v))
	case float64:
		return a.checkNumber(v, strconv.FormatFloat(v, 'g', -1, 64))
	case map[string]string:
		if a.Format != nil && a.Format.checkMap != nil {
			return a.Format.checkMap(a.Name, v)
		}
	}
	return nil
}

func (a *Attribute) checkString(s string) *Problem {
	switch {
	case s == "" && a.NonEmpty && a.Required:
		return &Problem{"Empty value", fmt.Sprintf("%s is empty.", a.Name)}
	case s == "" && a.NonEmpty:
		return &Problem{
			"Empty value", fmt.Sprintf("%s is empty. Leave it out, or set it to null, for the default.", a.Name),
		}
	case a.refusal(s) != "":
		return &Problem{"Unsupported " + a.Name, fmt.Sprintf("%s cannot be %q. %s", a.Name, s, a.refusal(s))}
	case a.Choices != nil && !slices.Contains(a.Values(), s):
		choices := wording.Quote(a.Values())
		if a.Type == NameOrNumber {
			choices = slices.Insert(choices, 0, fmt.Sprintf("a number from %s to %s", number(a.Min), number(a.Max)))
		}
		return &Problem{
			"Invalid " + a.Name, fmt.Sprintf("%s must be %s, not %q.%s", a.Name, wording.Or(choices), s,
				wording.DidYouMean(s, a.Values())),
		}
	case a.Format != nil && a.Format.check != nil && s != a.Default:
		return a.Format.check(a.Name, s)
	}
	return nil
}

// refusal says why a value is not supported; empty: it is not one of those that are refused.
func (a *Attribute) refusal(s string) string {
	for _, r := range a.Refused {
		if r.Value == s {
			return r.Doc
		}
	}
	return ""
}

func (a *Attribute) checkNumber(f float64, text string) *Problem {
	whole := ""
	if a.Type != Number {
		whole = "a whole number "
	}
	outside := a.Bounded() && (f < a.Min || f > a.Max)
	if outside || whole != "" && f != math.Trunc(f) {
		return &Problem{
			"Out of range", fmt.Sprintf("%s must be %sfrom %s to %s, not %s.", a.Name, whole, number(a.Min),
				number(a.Max), text),
		}
	}
	if a.Format != nil && a.Format.checkNumber != nil {
		return a.Format.checkNumber(a.Name, int(f))
	}
	return nil
}

// Bounded reports whether the attribute has bounds.
func (a *Attribute) Bounded() bool { return a.Min != 0 || a.Max != 0 }

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Parse reads the value of an attribute from a command line: text for a string, otherwise a number. It checks it, too.
func (a *Attribute) Parse(text string) (any, error) {
	var value any = text
	switch a.Type {
	case Number, Whole:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) {
			return nil, fmt.Errorf("%s must be a number, not %q", a.Name, text)
		}
		value = f
		if a.Type == Whole && f == math.Trunc(f) && math.Abs(f) < math.MaxInt32 {
			value = int(f)
		}
	}
	if p := a.Check(value); p != nil {
		return nil, p
	}
	return value, nil
}
