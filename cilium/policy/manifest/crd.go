package manifest

import (
	"embed"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The schemas are those of the CRDs that Cilium and the network policy API ship, without descriptions
// and status. "go test ./cilium/policy/manifest -run TestSchemasAreCurrent -update" rewrites them
// after an upgrade; without -update that test fails if they have changed.
//
//go:embed schemas/*.json
var schemaFiles embed.FS

// Decoded once, when the first object of the kind comes.
var (
	ciliumPolicySchema  = sync.OnceValue(func() *schema { return loadSchema("ciliumnetworkpolicy") })
	cidrGroupSchema     = sync.OnceValue(func() *schema { return loadSchema("ciliumcidrgroup") })
	clusterPolicySchema = sync.OnceValue(func() *schema { return loadSchema("clusternetworkpolicy") })
)

func loadSchema(name string) *schema {
	data, err := schemaFiles.ReadFile("schemas/" + name + ".json")
	if err != nil {
		panic(fmt.Sprintf("embedded schema: %v", err)) // a build without it does not pass the tests
	}
	s := new(schema)
	if err := json.Unmarshal(data, s); err != nil {
		panic(fmt.Sprintf("embedded schema %s: %v", name, err))
	}
	s.prepare()
	// The API server decodes metadata itself, and drops status when an object is created.
	s.Properties["metadata"] = schemaOf(reflect.TypeFor[metav1.ObjectMeta]())
	s.Properties["status"] = &schema{Anything: true}
	return s
}

// prepare readies a schema and those in it for use: patterns to compile, and the formats left out that
// CRDs may name but the API server does not check.
func (s *schema) prepare() {
	switch s.Format {
	case "cidr", "date-time", "int32", "int64":
	default:
		s.Format = ""
	}
	if s.Pattern != "" {
		s.pattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(s.Pattern) })
	}
	for _, p := range s.Properties {
		p.prepare()
	}
	if s.Items != nil {
		s.Items.prepare()
	}
	if s.Values != nil {
		s.Values.prepare()
	}
}
