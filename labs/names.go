package labs

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// The names and labels of a lab become those of Kubernetes objects; these checks are the API server's.

// checkLabel returns what is wrong with a name of an object (a DNS label), or "".
func checkLabel(name string) string {
	if len(validation.IsDNS1123Label(name)) == 0 {
		return ""
	}
	return `it has 1 to 63 lower-case letters, digits and "-", and begins and ends with a letter or digit`
}

// checkDNSName returns what is wrong with a DNS name, or "".
func checkDNSName(name string) string {
	if len(validation.IsDNS1123Subdomain(strings.ToLower(strings.TrimSuffix(name, ".")))) == 0 {
		return ""
	}
	return `it has letters, digits, "-" and ".", and each part begins and ends with a letter or digit`
}

// checkPortName returns what is wrong with the name of a port, or "".
func checkPortName(name string) string {
	if len(validation.IsValidPortName(name)) == 0 {
		return ""
	}
	return `it has 1 to 15 lower-case letters, digits and "-", a letter among them, and no "-" at an end`
}
