package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	ciliumcrds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files and schemas anew")

// upstreamCRDs are the CRDs that the schemas are made from.
func upstreamCRDs(t *testing.T) map[string][]byte {
	t.Helper()
	cilium := func(name string) []byte {
		data, err := ciliumcrds.EmbedFS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/network-policy-api").Output()
	if err != nil {
		t.Fatalf("find the module of the network policy API: %v", err)
	}
	// The experimental channel, which has all fields of the Go types.
	clusterPolicy, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"ciliumnetworkpolicy":  cilium("ciliumnetworkpolicies.yaml"),
		"ciliumcidrgroup":      cilium("ciliumcidrgroups.yaml"),
		"clusternetworkpolicy": clusterPolicy,
	}
}

// crdSchema is the schema of a CRD's first version, without what the checker does not look at.
func crdSchema(t *testing.T, crd []byte) map[string]any {
	t.Helper()
	var doc struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(crd, &doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Spec.Versions[0].Schema.OpenAPIV3Schema
	delete(s["properties"].(map[string]any), "status")
	strip(s)
	return s
}

func strip(s map[string]any) {
	delete(s, "description")
	delete(s, "x-kubernetes-map-type")
	if s["x-kubernetes-list-type"] == "atomic" {
		delete(s, "x-kubernetes-list-type")
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if child, ok := s[key].(map[string]any); ok {
			strip(child)
		}
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		for _, p := range properties {
			strip(p.(map[string]any))
		}
	}
}

func TestSchemasAreCurrent(t *testing.T) {
	t.Parallel()
	for name, crd := range upstreamCRDs(t) {
		want, err := json.Marshal(crdSchema(t, crd))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("schemas", name+".json")
		if *update {
			if err := os.WriteFile(file, append(want, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSpace(got), want) {
			t.Errorf("%s is not what the CRD says: run the test with -update and look at the difference", file)
		}
	}
}

// The clusterwide policy shares the namespaced one's schema.
func TestClusterwideSchemaIsTheSame(t *testing.T) {
	t.Parallel()
	clusterwide, err := ciliumcrds.EmbedFS.ReadFile("ciliumclusterwidenetworkpolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(crdSchema(t, clusterwide))
	b, _ := json.Marshal(crdSchema(t, upstreamCRDs(t)["ciliumnetworkpolicy"]))
	if !bytes.Equal(a, b) {
		t.Error("CiliumClusterwideNetworkPolicy has a schema of its own now: add it to schemas/")
	}
}

// A CRD may begin to use words that the checker does not know, and would pass over.
func TestSchemaWordsAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for f := range reflect.TypeFor[schema]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		for word, value := range s {
			if !known[word] {
				t.Errorf("%s: the checker does not know %s", path, word)
			}
			switch value := value.(type) {
			case map[string]any:
				if word != "properties" {
					walk(path+"."+word, value)
					continue
				}
				for name, p := range value {
					walk(path+"."+name, p.(map[string]any))
				}
			case []any:
				if word != "anyOf" && word != "oneOf" {
					continue
				}
				for _, alternative := range value {
					for word := range alternative.(map[string]any) {
						if word != "required" && word != "properties" && (word != "type" || s["x-kubernetes-int-or-string"] != true) {
							t.Errorf("%s: the checker does not know %s in alternatives", path, word)
						}
					}
				}
			}
		}
	}
	for name, crd := range upstreamCRDs(t) {
		walk(name, crdSchema(t, crd))
	}
}
