package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// object is a Kubernetes object as it stands in a manifest. The generator builds these, not typed
// values, so that it controls the difference between a field that is missing, null and empty, and so
// that shrinking can delete any part of it.
type object = map[string]any

// Case is one experiment: a cluster, the policies in force and the connections to judge.
type Case struct {
	// Seed makes this case again: oracle -case SEED.
	Seed uint64
	// Cluster holds the manifests of everything that is not a policy.
	Cluster []object
	// Policies are the policies and CiliumCIDRGroups.
	Policies []object
	Probes   ProbeFile
	// Invalid names the defect that was planted in a policy, if one was; the API server or Cilium refuses it.
	Invalid string
}

// ProbeFile is probes.json of `labctl probe`.
type ProbeFile struct {
	DNS    map[string][]string `json:"dns,omitempty"`
	Probes []Probe             `json:"probes"`
}

// Probe is one connection; the fields are the contract of `labctl probe`.
type Probe struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Port     int        `json:"port,omitempty"`
	Protocol string     `json:"protocol,omitempty"`
	ICMPType *int       `json:"icmp_type,omitempty"`
	HTTP     *HTTPProbe `json:"http,omitempty"`
	DNSQuery string     `json:"dns_query,omitempty"`
	TLSSNI   string     `json:"tls_sni,omitempty"`
}

// HTTPProbe is the request that goes with a Probe.
type HTTPProbe struct {
	Method  string            `json:"method,omitempty"`
	Path    string            `json:"path,omitempty"`
	Host    string            `json:"host,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// String is the probe as JSON on one line.
func (p Probe) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// The files of a case, as `labctl probe` takes them.
const (
	manifestsFile = "manifests.yaml"
	policiesFile  = "policies.yaml"
	probesFile    = "probes.json"
)

// Write puts the case's three files into dir, which it creates.
func (c *Case) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, objects := range map[string][]object{manifestsFile: c.Cluster, policiesFile: c.Policies} {
		text, err := documents(objects)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	probes, err := json.MarshalIndent(c.Probes, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, probesFile), append(probes, '\n'), 0o644)
}

// ReadCase reads back what Write wrote, so that a kept case can be run again.
func ReadCase(dir string) (*Case, error) {
	c := &Case{}
	for name, into := range map[string]*[]object{manifestsFile: &c.Cluster, policiesFile: &c.Policies} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
			if len(bytes.TrimSpace(doc)) == 0 {
				continue
			}
			var obj object
			if err := yaml.Unmarshal(doc, &obj); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			*into = append(*into, obj)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, probesFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &c.Probes); err != nil {
		return nil, fmt.Errorf("%s: %w", probesFile, err)
	}
	return c, nil
}

// documents is the objects as one YAML stream.
func documents(objects []object) ([]byte, error) {
	var out bytes.Buffer
	for i, obj := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		text, err := yaml.Marshal(obj)
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// clone is a deep copy through JSON: what shrinking changes must not reach the original.
func (c *Case) clone() *Case {
	out := &Case{Seed: c.Seed, Invalid: c.Invalid, Probes: c.Probes}
	for _, obj := range c.Cluster {
		out.Cluster = append(out.Cluster, cloneValue(obj).(object))
	}
	for _, obj := range c.Policies {
		out.Policies = append(out.Policies, cloneValue(obj).(object))
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = cloneValue(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = cloneValue(e)
		}
		return l
	default:
		return v
	}
}
