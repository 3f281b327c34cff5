package provision

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// DefaultAppImage is the demo image: the one that Kubernetes' own network tests use.
const DefaultAppImage = "registry.k8s.io/e2e-test-images/agnhost:2.53"

// Settings differ from site to site, not from lab to lab: where images and charts come from, and how long to wait.
// The zero value means the public ones. They are read from the site's file, then the environment, then flags, by
// the names in their tags: a name in the file, LABCTL_NAME in the environment.
type Settings struct {
	// default: kind's for the lab's Kubernetes version
	NodeImage string `setting:"node_image" help:"image of the kind nodes"`
	Chart     string `setting:"cilium_chart" help:"Cilium's chart: a directory, an archive, or an oci:// reference"`
	// default: what labctl knows
	Digest SHA256   `setting:"cilium_chart_digest" help:"sha256 that the chart's archive must have"`
	Repo   string   `setting:"cilium_repository" help:"chart repository that Cilium comes from"`
	Values []string `setting:"cilium_values" help:"files of Helm values for Cilium"` // later ones win
	Images []string `setting:"images" help:"images of the local engine, or archives, to load into the nodes"`
	// replaces DefaultAppImage of any version, also in manifests
	AppImage string            `setting:"app_image" help:"image of the demo apps"`
	Mirrors  map[string]string `setting:"registry_mirrors" help:"mirrors of registries, as host=URL"`
	// in the format of Docker's config.json
	AuthFile  string    `setting:"registry_auth_file" help:"credentials of registries, as a config.json of Docker"`
	CAFile    string    `setting:"registry_ca_file" help:"certificates (PEM) of private authorities of registries"`
	Externals Externals `setting:"externals" help:"what answers for hosts outside the cluster: auto, real or stand_in"`
	// GKEEndpoint replaces Google's public address of the Kubernetes Engine API, HOST:PORT.
	GKEEndpoint string `setting:"gke_endpoint" help:"address of Google's Kubernetes Engine API, HOST:PORT, if it is private"`
	Timeouts    Timeouts

	// Path is the file that they were read from; empty: there is none.
	Path string
}

// Timeouts are how long to wait before giving up.
type Timeouts struct {
	Cluster time.Duration `setting:"timeout_cluster" help:"how long a cluster may take; the default depends on the provider"`
	Images  time.Duration `setting:"timeout_images" help:"how long loading images may take"`
	Cilium  time.Duration `setting:"timeout_cilium" help:"how long Cilium may take to be ready, and its chart to download"`
	Apps    time.Duration `setting:"timeout_apps" help:"how long the apps may take to be ready"`
}

// Externals says what answers for a lab's externals.
type Externals string

const (
	ExternalsAuto    Externals = "auto"     // a stand-in for those that this machine cannot reach (default)
	ExternalsReal    Externals = "real"     // never a stand-in
	ExternalsStandIn Externals = "stand_in" // always
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Externals) UnmarshalText(text []byte) error {
	switch v := Externals(text); v {
	case ExternalsAuto, ExternalsReal, ExternalsStandIn:
		*e = v
		return nil
	}
	return fmt.Errorf("%q: must be auto, real or stand_in", text)
}

// SHA256 is a sha256 in hex; empty: none.
type SHA256 string

// UnmarshalText implements encoding.TextUnmarshaler. The digest may begin with "sha256:".
func (s *SHA256) UnmarshalText(text []byte) error {
	digits := strings.TrimPrefix(string(text), "sha256:")
	if sum, err := hex.DecodeString(digits); len(text) > 0 && (err != nil || len(sum) != sha256.Size) {
		return fmt.Errorf("%q: must be the 64 hexadecimal digits that sha256sum prints", text)
	}
	*s = SHA256(strings.ToLower(digits))
	return nil
}

// DefaultSettings are the public ones.
func DefaultSettings() *Settings {
	return &Settings{
		Repo:      "https://helm.cilium.io",
		AppImage:  DefaultAppImage,
		Externals: ExternalsAuto,
		Timeouts: Timeouts{
			Images: 10 * time.Minute, Cilium: 5 * time.Minute, Apps: 3 * time.Minute,
		},
	}
}

// field is one setting of a Settings.
type field struct {
	name, help string
	value      any // a pointer to the field
}

func (f field) env() string { return "LABCTL_" + strings.ToUpper(f.name) }

// fields are all settings, in the order of the struct.
func (s *Settings) fields() []field {
	var out []field
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			tag := v.Type().Field(i).Tag
			if name := tag.Get("setting"); name != "" {
				out = append(out, field{name, tag.Get("help"), v.Field(i).Addr().Interface()})
			} else if v.Field(i).Kind() == reflect.Struct {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(s).Elem())
	return out
}

// setText sets the field from text, as the environment and flags have it. Items of lists are separated by white
// space or commas, unless they are quoted.
func (f field) setText(text string) error {
	switch f.value.(type) {
	case *[]string, *map[string]string:
		items, err := splitList(text)
		if err != nil {
			return err
		}
		return f.set(items)
	}
	return f.set([]string{text})
}

// set sets the field from its items: one, unless it is a list or a map.
func (f field) set(items []string) error {
	switch v := f.value.(type) {
	case *[]string:
		*v = items
		return nil
	case *map[string]string:
		mirrors := map[string]string{}
		for _, pair := range items {
			host, url, ok := strings.Cut(pair, "=")
			if !ok || host == "" || url == "" {
				return fmt.Errorf("%q: must be HOST=URL", pair)
			}
			mirrors[host] = url
		}
		*v = mirrors
		return nil
	}
	if len(items) != 1 {
		return errors.New("must be a single value, not a list")
	}
	switch v := f.value.(type) {
	case *string:
		*v = items[0]
	case *time.Duration:
		if items[0] == "" && f.name == "timeout_cluster" { // its default depends on the provider
			*v = 0
			return nil
		}
		d, err := time.ParseDuration(items[0])
		if err != nil || d <= 0 {
			return fmt.Errorf("%q: must be a duration such as 5m", items[0])
		}
		*v = d
	case encoding.TextUnmarshaler:
		return v.UnmarshalText([]byte(items[0]))
	default:
		return fmt.Errorf("a setting cannot be a %T", v)
	}
	return nil
}

// items is the inverse of set.
func (f field) items() []string {
	switch v := f.value.(type) {
	case *[]string:
		return *v
	case *map[string]string:
		var pairs []string
		for _, host := range slices.Sorted(maps.Keys(*v)) {
			pairs = append(pairs, host+"="+(*v)[host])
		}
		return pairs
	case *time.Duration:
		if *v == 0 {
			return []string{""}
		}
		return []string{v.String()}
	}
	return []string{reflect.ValueOf(f.value).Elem().String()}
}

// text is the inverse of setText.
func (f field) text() string {
	switch f.value.(type) {
	case *[]string, *map[string]string:
		return joinList(f.items())
	}
	return f.items()[0]
}

// hcl returns the field's value as it is written in a settings file.
func (f field) hcl() string {
	var v cty.Value
	switch field := f.value.(type) {
	case *[]string:
		v = cty.ListValEmpty(cty.String)
		if len(*field) > 0 {
			items := make([]cty.Value, len(*field))
			for i, item := range *field {
				items[i] = cty.StringVal(item)
			}
			v = cty.ListVal(items)
		}
	case *map[string]string:
		attrs := map[string]cty.Value{}
		for host, url := range *field {
			attrs[host] = cty.StringVal(url)
		}
		v = cty.ObjectVal(attrs)
	default:
		v = cty.StringVal(f.items()[0])
	}
	return string(hclwrite.TokensForValue(v).Bytes())
}

const separators = ", \t\n"

// splitList splits a list at white space and commas. In single or double quotes, these are part of an item.
func splitList(text string) ([]string, error) {
	var items []string
	var item strings.Builder
	var quote rune // that is open; 0: none
	begun := false
	for _, r := range text {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && strings.ContainsRune(separators, r):
			if begun {
				items = append(items, item.String())
			}
			item.Reset()
			begun = false
		default:
			item.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%s: a quote is not closed", text)
	}
	if begun {
		items = append(items, item.String())
	}
	return items, nil
}

// joinList is the inverse of splitList.
func joinList(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = item
		switch {
		case strings.Contains(item, `"`):
			quoted[i] = "'" + strings.ReplaceAll(item, "'", `'"'"'`) + "'"
		case item == "" || strings.ContainsAny(item, separators+"'"):
			quoted[i] = `"` + item + `"`
		}
	}
	return strings.Join(quoted, " ")
}

// settingsFile is the site's file as HCL decodes it.
type settingsFile struct {
	Attrs hcl.Attributes `hcl:",remain"`
}

// ReadSettings reads the site's file, and then the environment, a list of NAME=VALUE. A missing file is an error if
// it must exist. All errors are *UsageErrors.
func ReadSettings(path string, mustExist bool, environ []string) (*Settings, error) {
	s := DefaultSettings()
	src, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mustExist:
	case err != nil:
		return nil, &UsageError{fmt.Errorf("read the settings: %w", err)}
	default:
		s.Path = path
		if err := s.readFile(path, src); err != nil {
			return nil, &UsageError{fmt.Errorf("read the settings: %w", err)}
		}
	}
	var errs []error
	for _, f := range s.fields() {
		for _, env := range environ {
			if v, ok := strings.CutPrefix(env, f.env()+"="); ok && v != "" {
				if err := f.setText(v); err != nil {
					errs = append(errs, fmt.Errorf("environment variable %s: %w", f.env(), err))
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &UsageError{err}
	}
	return s, s.resolvePathsHere()
}

// resolvePathsHere makes paths of the environment and flags absolute, which are relative to the current directory. So
// what List shows means the same in a file elsewhere.
func (s *Settings) resolvePathsHere() error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	s.resolvePaths(here)
	return nil
}

// readFile sets what the file sets. Paths in it are relative to its directory.
func (s *Settings) readFile(path string, src []byte) error {
	parser := hclparse.NewParser()
	file, diags := parser.ParseHCL(src, path)
	var content settingsFile
	if !diags.HasErrors() {
		diags = append(diags, gohcl.DecodeBody(file.Body, nil, &content)...)
	}
	known := map[string]field{}
	for _, f := range s.fields() {
		known[f.name] = f
	}
	for name, attr := range content.Attrs {
		f, ok := known[name]
		if !ok {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unknown setting", Subject: attr.NameRange.Ptr(),
				Detail: fmt.Sprintf("There is no setting %q; \"labctl config\" lists them.", name),
			})
			continue
		}
		if err := f.setAttr(attr); err != nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Setting " + name, Subject: attr.Expr.Range().Ptr(),
				Detail: err.Error(),
			})
		}
	}
	if diags.HasErrors() {
		return diags
	}
	s.resolvePaths(filepath.Dir(path))
	return nil
}

// resolvePaths makes paths absolute that name a file below dir. Other names, such as those of images, stay.
func (s *Settings) resolvePaths(dir string) {
	local := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return p
		}
		return filepath.Join(dir, p)
	}
	s.Chart, s.AuthFile, s.CAFile = local(s.Chart), local(s.AuthFile), local(s.CAFile)
	for i := range s.Values {
		s.Values[i] = local(s.Values[i])
	}
	for i := range s.Images {
		if strings.HasSuffix(s.Images[i], ".tar") { // a directory may have the name of an image
			s.Images[i] = local(s.Images[i])
		}
	}
}

// setAttr sets the field from an attribute of the file.
func (f field) setAttr(attr *hcl.Attribute) error {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() {
		return errors.New(diags[0].Detail)
	}
	if v.IsNull() {
		return errors.New("a value is required")
	}
	switch {
	case v.Type().IsPrimitiveType():
		text, err := primitiveText(v)
		if err != nil {
			return err
		}
		return f.setText(text)
	case v.Type().IsTupleType() || v.Type().IsListType():
		var items []string
		for _, item := range v.AsValueSlice() {
			text, err := primitiveText(item)
			if err != nil {
				return err
			}
			items = append(items, text)
		}
		return f.set(items)
	case v.Type().IsObjectType():
		if _, ok := f.value.(*map[string]string); !ok {
			break
		}
		var pairs []string
		for key, item := range v.AsValueMap() {
			text, err := primitiveText(item)
			if err != nil {
				return err
			}
			pairs = append(pairs, key+"="+text)
		}
		return f.set(pairs)
	}
	return errors.New("must be a string, a list of strings or, for mirrors, a map of strings")
}

// Setting is one line of `labctl config`.
type Setting struct {
	Name  string `json:"name"`
	Env   string `json:"env"`
	Value string `json:"value"` // as in the environment: items of lists are separated by spaces, or quoted
	Help  string `json:"help"`
	// HCL returns the value as it is written in a settings file.
	HCL string `json:"-"`
}

// List shows every setting and its value.
func (s *Settings) List() []Setting {
	var out []Setting
	for _, f := range s.fields() {
		out = append(out, Setting{f.name, f.env(), f.text(), f.help, f.hcl()})
	}
	return out
}

// Set sets one by name, as flags do.
func (s *Settings) Set(name, value string) error {
	for _, f := range s.fields() {
		if f.name == name {
			if err := f.setText(value); err != nil {
				return &UsageError{fmt.Errorf("setting %s: %w", name, err)}
			}
			return s.resolvePathsHere()
		}
	}
	return &UsageError{fmt.Errorf("there is no setting %s", strconv.Quote(name))}
}

func primitiveText(v cty.Value) (string, error) {
	if !v.Type().IsPrimitiveType() {
		return "", errors.New("must be a string")
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil || v.IsNull() {
		return "", errors.New("must be a string")
	}
	return v.AsString(), nil
}
