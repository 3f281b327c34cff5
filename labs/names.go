package labs

import (
	"fmt"
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

// checkName checks the name of a block that becomes the name of an object, or of a folder.
func (n *node) checkName() {
	if n.broken["name"] {
		return
	}
	if problem := checkLabel(n.name); problem != "" {
		n.s.errorf(n.nameRange(), "Invalid name", "%q cannot be the name of %s: %s.", n.name, article(n.spec.typ), problem)
	}
}

// checkLabels checks Kubernetes labels.
func (n *node) checkLabels(attr string) map[string]string {
	labels := n.strMap(attr)
	for _, key := range sortedKeys(labels) {
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			n.s.errorf(n.rng(attr), "Invalid label", `%q cannot be the key of a label: it has 1 to 63 letters, digits, "-", "_" and ".", begins and ends with a letter or digit, and may stand behind a DNS name and "/".`, key)
		}
		if problems := validation.IsValidLabelValue(labels[key]); len(problems) > 0 {
			n.s.errorf(n.rng(attr), "Invalid label", `%q cannot be the value of the label %q: it has at most 63 letters, digits, "-", "_" and ".", and begins and ends with a letter or digit.`, labels[key], key)
		}
	}
	return labels
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return fmt.Sprintf("an %s", noun)
	}
	return fmt.Sprintf("a %s", noun)
}

// checkPortName returns what is wrong with the name of a port, or "".
func checkPortName(name string) string {
	if len(validation.IsValidPortName(name)) == 0 {
		return ""
	}
	return `it has 1 to 15 lower-case letters, digits and "-", a letter among them, and no "-" at an end`
}
