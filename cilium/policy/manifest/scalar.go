package manifest

import (
	"math"
	"strconv"
	"strings"
)

// scalarKind is the JSON type that a YAML scalar becomes.
type scalarKind uint8

const (
	scalarString scalarKind = iota
	scalarNull
	scalarBool
	scalarNumber
)

// resolvePlain says what an unquoted scalar is to Kubernetes, which reads YAML 1.1: "yes", "on" and "y"
// are booleans, 010 is eight and 1_000 is a thousand. text is its JSON. ok is false for the numbers that
// JSON cannot hold (.inf, .nan).
//
// The rules are those of go.yaml.in/yaml/v2, which sigs.k8s.io/yaml (kubectl and the API server) uses.
func resolvePlain(in string) (kind scalarKind, text string, ok bool) {
	if in == "" {
		return scalarNull, "null", true
	}
	switch c := in[0]; {
	case strings.IndexByte("yYnNtTfFoO~", c) >= 0:
		switch in {
		case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
			return scalarBool, "true", true
		case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
			return scalarBool, "false", true
		case "~", "null", "Null", "NULL":
			return scalarNull, "null", true
		}
		return scalarString, in, true
	case c == '.':
		switch in {
		case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF":
			return scalarNumber, in, false
		}
		if f, err := strconv.ParseFloat(in, 64); err == nil {
			return formatFloat(f)
		}
	case c == '+' || c == '-' || ('0' <= c && c <= '9'):
		return resolveNumber(in)
	}
	return scalarString, in, true
}

func resolveNumber(in string) (scalarKind, string, bool) {
	switch in {
	case "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
		return scalarNumber, in, false
	}
	// An address, a date or a version is the usual thing here, and a string.
	if !couldBeNumber(in) {
		return scalarString, in, true
	}
	plain := strings.ReplaceAll(in, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return scalarNumber, strconv.FormatInt(i, 10), true
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return scalarNumber, strconv.FormatUint(u, 10), true
	}
	if isYAMLFloat(plain) {
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return formatFloat(f)
		}
	}
	// The library takes a sign after the prefix as well (0b+1), which strconv's base 0 does not.
	sign, digits := "", plain
	if rest, ok := strings.CutPrefix(plain, "-"); ok {
		sign, digits = "-", rest
	}
	if digits, ok := strings.CutPrefix(digits, "0b"); ok {
		if i, err := strconv.ParseInt(sign+digits, 2, 64); err == nil {
			return scalarNumber, strconv.FormatInt(i, 10), true
		}
	}
	return scalarString, in, true
}

// couldBeNumber is a cheap filter: false only for what no number looks like.
func couldBeNumber(in string) bool {
	dots := 0
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F',
			c == 'x', c == 'X', c == 'o', c == 'O', c == '_', c == '+', c == '-':
		case c == '.':
			if dots++; dots > 1 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// isYAMLFloat matches [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
func isYAMLFloat(s string) bool {
	i := 0
	digits := func() (n int) {
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
			n++
		}
		return n
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	whole := digits()
	if i < len(s) && s[i] == '.' {
		i++
		if digits() == 0 && whole == 0 {
			return false
		}
	} else if whole == 0 {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() == 0 {
			return false
		}
	}
	return i == len(s)
}

func formatFloat(f float64) (scalarKind, string, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return scalarNumber, "", false
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return scalarNumber, strconv.FormatFloat(f, format, -1, 64), true
}
