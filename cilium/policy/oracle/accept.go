package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/kubernetes/pkg/apis/networking"
	networkingdefaults "k8s.io/kubernetes/pkg/apis/networking/v1"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	ciliumcrds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
)

// accept does to a policy what the API server does when it is created with strict field validation: it
// returns the object that would be stored, defaults filled in, or the reason why it is refused.
func accept(obj object) (object, error) {
	switch kind := kindOf(obj); kind {
	case "NetworkPolicy":
		return acceptNetworkPolicy(obj)
	default:
		crds, err := customResources()
		if err != nil {
			return nil, err
		}
		crd := crds[kind]
		if crd == nil {
			return nil, fmt.Errorf("the oracle does not know the kind %q", kind)
		}
		return crd.accept(obj)
	}
}

func acceptNetworkPolicy(obj object) (object, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	np := &networkingv1.NetworkPolicy{}
	strict, err := kjson.UnmarshalStrict(text, np)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if len(strict) > 0 {
		return nil, fmt.Errorf("%w: %w", errRefused, strict[0])
	}
	networkingdefaults.SetObjectDefaults_NetworkPolicy(np)
	internal := &networking.NetworkPolicy{}
	if err := networkingdefaults.Convert_v1_NetworkPolicy_To_networking_NetworkPolicy(np, internal, nil); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if errs := networkingvalidation.ValidateNetworkPolicy(internal,
		networkingvalidation.ValidationOptionsForNetworking(internal, nil)); len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", errRefused, errs[0])
	}
	var stored object
	return stored, recode(np, &stored)
}

// recode turns a value into another type through JSON, with whole numbers as int64.
func recode(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return utiljson.Unmarshal(text, into)
}

// customResource is a CRD made ready to check objects.
type customResource struct {
	structural *schema.Structural
	validator  crdvalidation.SchemaValidator
	cel        *cel.Validator
}

func (r *customResource) accept(obj object) (object, error) {
	var stored object
	if err := recode(obj, &stored); err != nil {
		return nil, err
	}
	unknown := pruning.PruneWithOptions(stored, r.structural, true,
		schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: unknown field %q", errRefused, unknown[0])
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(stored, r.structural)
	defaulting.Default(stored, r.structural)
	var errs field.ErrorList
	errs = append(errs, crdvalidation.ValidateCustomResource(nil, stored, r.validator)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, r.structural, stored)...)
	if len(errs) == 0 && r.cel != nil {
		celErrs, _ := r.cel.Validate(context.Background(), nil, r.structural, stored, nil,
			celconfig.RuntimeCELCostBudget)
		errs = append(errs, celErrs...)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", errRefused, errs[0])
	}
	return stored, nil
}

// customResources are the CRDs of the policies, by kind. Cilium embeds its own; that of
// ClusterNetworkPolicy comes from the module's folder, which the go command knows.
var customResources = sync.OnceValues(func() (map[string]*customResource, error) {
	out := map[string]*customResource{}
	var files [][]byte
	for _, name := range []string{
		"ciliumnetworkpolicies.yaml", "ciliumclusterwidenetworkpolicies.yaml", "ciliumcidrgroups.yaml",
	} {
		text, err := ciliumcrds.EmbedFS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, text)
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/network-policy-api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the CRD of ClusterNetworkPolicy (run the oracle in its own folder): %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)),
		"config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml"))
	if err != nil {
		return nil, err
	}
	for _, text := range append(files, text) {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			return nil, err
		}
		r, err := newCustomResource(crd)
		if err != nil {
			return nil, fmt.Errorf("CRD of %s: %w", crd.Spec.Names.Kind, err)
		}
		out[crd.Spec.Names.Kind] = r
	}
	return out, nil
})

func newCustomResource(crd *apiextensionsv1.CustomResourceDefinition) (*customResource, error) {
	for _, v := range crd.Spec.Versions {
		if !v.Storage {
			continue
		}
		internal := &apiextensions.JSONSchemaProps{}
		err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			v.Schema.OpenAPIV3Schema, internal, nil)
		if err != nil {
			return nil, err
		}
		structural, err := schema.NewStructural(internal)
		if err != nil {
			return nil, err
		}
		validator, _, err := crdvalidation.NewSchemaValidator(internal)
		if err != nil {
			return nil, err
		}
		return &customResource{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
	}
	return nil, fmt.Errorf("no stored version")
}
