package schema

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
)

// Format checks what the value of an attribute looks like, beyond its type.
type Format struct {
	check       func(attr, value string) *Problem
	checkNumber func(attr string, value int) *Problem
	checkMap    func(attr string, value map[string]string) *Problem
}

// versionNumber is the version of a program: "1.34", "1.34.2", "v1.34.2".
var versionNumber = &Format{check: func(attr, value string) *Problem {
	if _, err := version.NewVersion(strings.TrimPrefix(value, "v")); err != nil {
		return &Problem{"Invalid version", fmt.Sprintf("%s must be a version such as \"1.34.2\", not %q.", attr, value)}
	}
	return nil
}}

// subnets are one address range, or one of each family separated by a comma.
var subnets = &Format{check: func(attr, value string) *Problem {
	for part := range strings.SplitSeq(value, ",") {
		if p, err := netip.ParsePrefix(part); err != nil || p.Masked() != p {
			return &Problem{"Invalid address range", fmt.Sprintf(
				"%s must be an address range such as 10.244.0.0/16, or one of each family separated by a comma; %q is not an address range.", attr, part)}
		}
	}
	return nil
}}

// network is an address range of one family.
var network = &Format{check: func(attr, value string) *Problem {
	if p, err := netip.ParsePrefix(value); err != nil || p.Masked() != p {
		return &Problem{"Invalid address range", fmt.Sprintf(
			"%s must have address ranges such as \"203.0.113.0/24\", or \"203.0.113.7/32\" for one address; %q is not an address range.", attr, value)}
	}
	return nil
}}

// address is an IP address.
var address = &Format{check: func(attr, value string) *Problem {
	if _, err := netip.ParseAddr(value); err != nil {
		return &Problem{"Invalid address", fmt.Sprintf("%s must be an IP address, not %q.", attr, value)}
	}
	return nil
}}

// duration is a length of time within bounds, as ParseDuration reads it.
func duration(low, high time.Duration) *Format {
	return &Format{check: func(attr, value string) *Problem {
		d, err := ParseDuration(value)
		switch {
		case err != nil:
			return &Problem{"Invalid duration", fmt.Sprintf("%s: %v.", attr, err)}
		case d < low || d > high:
			return &Problem{
				"Invalid duration", fmt.Sprintf("%s must be from %s to %s, not %q.", attr, durationText(low),
					durationText(high), value),
			}
		}
		return nil
	}}
}

// seconds is a length of time within bounds, in whole seconds.
func seconds(low, high time.Duration) *Format {
	within := duration(low, high)
	return &Format{check: func(attr, value string) *Problem {
		if p := within.check(attr, value); p != nil {
			return p
		}
		if d, _ := ParseDuration(value); d%time.Second != 0 {
			return &Problem{"Invalid duration", fmt.Sprintf("%s must be in whole seconds, not %q.", attr, value)}
		}
		return nil
	}}
}

// ParseDuration reads a duration as Go writes it, with days before it if there are any: "90m", "3d", "1d12h".
func ParseDuration(text string) (time.Duration, error) {
	invalid := fmt.Errorf("invalid duration %q: write a number with its unit: s, m, h or d, such as 30s, 90m or 3d", text)
	var days time.Duration
	rest := text
	if n, after, ok := strings.Cut(text, "d"); ok {
		count, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, invalid
		}
		days, rest = time.Duration(count)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, invalid
	}
	return days + d, nil
}

// durationText writes a bound as an author would: "1h", "30d".
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// driver is a driver of minikube that makes nodes: a machine or container each.
var driver = &Format{check: func(attr, value string) *Problem {
	switch value {
	case "none", "native", "ssh", "generic":
		return &Problem{"Invalid driver", fmt.Sprintf("%s must not be %q, which installs Kubernetes and Cilium on an existing machine instead of creating nodes.", attr, value)}
	}
	return nil
}}

// memory is an amount of memory as minikube takes it: megabytes, or a size with its unit.
var memory = &Format{check: func(attr, value string) *Problem {
	digits := strings.TrimRight(strings.TrimSuffix(strings.ToLower(value), "b"), "kmg")
	if digits == "" || len(digits) >= 10 || strings.Trim(digits, "0123456789") != "" {
		return &Problem{
			"Invalid memory", fmt.Sprintf("%s must be a number of megabytes, or a size such as \"4g\", not %q.",
				attr, value),
		}
	}
	return nil
}}

// googleLabels are labels of Google Cloud's resources, which are stricter than those of Kubernetes
// (https://cloud.google.com/compute/docs/labeling-resources#requirements).
var googleLabels = &Format{checkMap: func(attr string, labels map[string]string) *Problem {
	valid := func(s string) bool {
		return len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		})
	}
	for _, k := range sortedKeys(labels) {
		if !valid(k) || !valid(labels[k]) || k == "" || k[0] < 'a' || k[0] > 'z' {
			return &Problem{"Invalid label", fmt.Sprintf(
				"%q = %q in %s: labels of Google Cloud have at most 63 lower-case letters, digits, - and _, and a key begins with a letter.", k, labels[k], attr)}
		}
	}
	return nil
}}

// odd is a number of members of which a majority can always be formed.
var odd = &Format{checkNumber: func(attr string, value int) *Problem {
	if value%2 == 0 {
		return &Problem{"Out of range", fmt.Sprintf("%s must be an odd number, not %d, so that etcd has a majority.",
			attr, value)}
	}
	return nil
}}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
