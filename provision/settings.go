package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// DefaultAppImage is the demo image: the one that Kubernetes' own network tests use.
const DefaultAppImage = "registry.k8s.io/e2e-test-images/agnhost:2.53"

// Settings are what differs from site to site, not from lab to lab: where images and charts come from. The
// zero value means the public ones. They are read from the site's file, then the environment, then flags.
type Settings struct {
	NodeImage string            // for kind nodes; default: the one that kind ships for the lab's Kubernetes version
	Chart     string            // Cilium's chart: a directory, an archive or an oci:// reference; default: from the repository
	Digest    string            // sha256 of the chart's archive, in hex, wherever it comes from; default: what labctl knows
	Repo      string            // Cilium's chart repository; default https://helm.cilium.io
	Values    []string          // files of Helm values, later ones win
	Images    []string          // to load into every node: names in the local engine, or archives (*.tar)
	AppImage  string            // takes the place of DefaultAppImage, of whatever version, also in manifests
	Mirrors   map[string]string // registry host → URL that serves its images
	// GKEEndpoint takes the place of Google's public address of the Kubernetes Engine API, HOST:PORT.
	GKEEndpoint string
	Externals   Externals
	Timeouts    Timeouts

	// Path is the file they were read from; empty: there is none.
	Path string
}

// Externals says what answers for a lab's externals.
type Externals string

const (
	ExternalsAuto    Externals = "auto"     // a stand-in for those that this machine does not reach (default)
	ExternalsReal    Externals = "real"     // never a stand-in
	ExternalsStandIn Externals = "stand_in" // always
)

// Timeouts are how long to wait before giving up, with the reason.
type Timeouts struct {
	Cluster time.Duration // default: what the provider says
	Images  time.Duration // default 10m
	Cilium  time.Duration // default 5m
	Apps    time.Duration // default 3m
}

// setting is one site setting: its name in the file, LABCTL_<NAME> in the environment, and how it is set
// from a string. Lists are separated by white space or commas.
type setting struct {
	Name string
	Help string
	Set  func(*Settings, string) error
	Get  func(*Settings) string
}

// settings lists all of them; the file, the environment, `labctl config` and its documentation go by it.
func settings() []setting {
	text := func(name, help string, field func(*Settings) *string) setting {
		return setting{
			name, help,
			func(s *Settings, v string) error { *field(s) = v; return nil },
			func(s *Settings) string { return *field(s) },
		}
	}
	list := func(name, help string, field func(*Settings) *[]string) setting {
		return setting{
			name, help,
			func(s *Settings, v string) error { *field(s) = splitList(v); return nil },
			func(s *Settings) string { return strings.Join(*field(s), " ") },
		}
	}
	timeout := func(name, help string, field func(*Settings) *time.Duration) setting {
		return setting{
			name, help,
			func(s *Settings, v string) error {
				if v == "" && *field(DefaultSettings()) == 0 { // its default depends
					*field(s) = 0
					return nil
				}
				d, err := time.ParseDuration(v)
				if err != nil || d <= 0 {
					return fmt.Errorf("%q: want a duration such as 5m", v)
				}
				*field(s) = d
				return nil
			},
			func(s *Settings) string {
				if *field(s) == 0 {
					return ""
				}
				return field(s).String()
			},
		}
	}
	return []setting{
		text("node_image", "image of the kind nodes", func(s *Settings) *string { return &s.NodeImage }),
		text("cilium_chart", "Cilium's chart: a directory, an archive, or an oci:// reference", func(s *Settings) *string { return &s.Chart }),
		{
			"cilium_chart_digest", "sha256 that the chart's archive must have",
			func(s *Settings, v string) error {
				if sum, err := hex.DecodeString(strings.TrimPrefix(v, "sha256:")); v != "" && (err != nil || len(sum) != sha256.Size) {
					return fmt.Errorf("%q: want the 64 hexadecimal digits that sha256sum prints", v)
				}
				s.Digest = strings.ToLower(strings.TrimPrefix(v, "sha256:"))
				return nil
			},
			func(s *Settings) string { return s.Digest },
		},
		text("cilium_repository", "chart repository that Cilium comes from", func(s *Settings) *string { return &s.Repo }),
		list("cilium_values", "files of Helm values for Cilium", func(s *Settings) *[]string { return &s.Values }),
		list("images", "images of the local engine, or archives, to load into the nodes", func(s *Settings) *[]string { return &s.Images }),
		text("app_image", "image of the demo apps", func(s *Settings) *string { return &s.AppImage }),
		{
			"registry_mirrors", "mirrors of registries, as host=URL",
			func(s *Settings, v string) error {
				s.Mirrors = map[string]string{}
				for _, pair := range splitList(v) {
					host, url, ok := strings.Cut(pair, "=")
					if !ok || host == "" || url == "" {
						return fmt.Errorf("%q: want HOST=URL", pair)
					}
					s.Mirrors[host] = url
				}
				return nil
			},
			func(s *Settings) string {
				var pairs []string
				for host, url := range s.Mirrors {
					pairs = append(pairs, host+"="+url)
				}
				slices.Sort(pairs)
				return strings.Join(pairs, " ")
			},
		},
		{
			"externals", "what answers for things outside the cluster: auto, real or stand_in",
			func(s *Settings, v string) error {
				switch e := Externals(v); e {
				case ExternalsAuto, ExternalsReal, ExternalsStandIn:
					s.Externals = e
					return nil
				}
				return fmt.Errorf("%q: want auto, real or stand_in", v)
			},
			func(s *Settings) string { return string(s.Externals) },
		},
		text("gke_endpoint", "address of Google's Kubernetes Engine API, HOST:PORT, where it is a private one", func(s *Settings) *string { return &s.GKEEndpoint }),
		timeout("timeout_cluster", "how long a cluster may take; the default depends on the provider", func(s *Settings) *time.Duration { return &s.Timeouts.Cluster }),
		timeout("timeout_images", "how long loading images may take", func(s *Settings) *time.Duration { return &s.Timeouts.Images }),
		timeout("timeout_cilium", "how long Cilium may take to be ready", func(s *Settings) *time.Duration { return &s.Timeouts.Cilium }),
		timeout("timeout_apps", "how long the apps may take to be ready", func(s *Settings) *time.Duration { return &s.Timeouts.Apps }),
	}
}

func splitList(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
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

// settingsFile is the site's file as HCL decodes it.
type settingsFile struct {
	Attrs hcl.Attributes `hcl:",remain"`
}

// ReadSettings reads the site's file, where a missing one is no error unless it must exist, and then the
// environment, a list of NAME=VALUE. All that is wrong is a *UsageError.
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
	for _, set := range settings() {
		name := "LABCTL_" + strings.ToUpper(set.Name)
		for _, env := range environ {
			if v, ok := strings.CutPrefix(env, name+"="); ok && v != "" {
				if err := set.Set(s, v); err != nil {
					errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &UsageError{err}
	}
	return s, nil
}

// readFile takes over what the file sets; paths in it are relative to its directory.
func (s *Settings) readFile(path string, src []byte) error {
	parser := hclparse.NewParser()
	file, diags := parser.ParseHCL(src, path)
	var content settingsFile
	if !diags.HasErrors() {
		diags = append(diags, gohcl.DecodeBody(file.Body, nil, &content)...)
	}
	known := map[string]setting{}
	for _, set := range settings() {
		known[set.Name] = set
	}
	for name, attr := range content.Attrs {
		set, ok := known[name]
		if !ok {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unknown setting", Subject: attr.NameRange.Ptr(),
				Detail: fmt.Sprintf("There is no setting %q; \"labctl config\" lists them.", name),
			})
			continue
		}
		text, err := attrText(attr)
		if err == nil {
			err = set.Set(s, text)
		}
		if err != nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Setting " + name, Subject: attr.Expr.Range().Ptr(), Detail: err.Error(),
			})
		}
	}
	if diags.HasErrors() {
		return diags
	}
	dir := filepath.Dir(path)
	local := func(p string) string {
		if p == "" || filepath.IsAbs(p) || !looksLocal(filepath.Join(dir, p)) {
			return p
		}
		return filepath.Join(dir, p)
	}
	s.Chart = local(s.Chart)
	for i := range s.Values {
		s.Values[i] = local(s.Values[i])
	}
	for i := range s.Images {
		s.Images[i] = local(s.Images[i])
	}
	return nil
}

func looksLocal(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// attrText is an attribute's value in the form that setting.Set takes.
func attrText(attr *hcl.Attribute) (string, error) {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() {
		return "", errors.New(diags[0].Detail)
	}
	switch {
	case v.IsNull():
		return "", errors.New("a value is needed")
	case v.Type().IsPrimitiveType():
		return primitiveText(v)
	case v.Type().IsTupleType() || v.Type().IsListType():
		var items []string
		for _, item := range v.AsValueSlice() {
			text, err := primitiveText(item)
			if err != nil {
				return "", err
			}
			items = append(items, text)
		}
		return strings.Join(items, " "), nil
	case v.Type().IsObjectType():
		var pairs []string
		for key, item := range v.AsValueMap() {
			text, err := primitiveText(item)
			if err != nil {
				return "", err
			}
			pairs = append(pairs, key+"="+text)
		}
		return strings.Join(pairs, " "), nil
	}
	return "", errors.New("want a string, a list of strings or a map of strings")
}

// Setting is one line of `labctl config`.
type Setting struct {
	Name  string `json:"name"`
	Env   string `json:"env"`
	Value string `json:"value"`
	Help  string `json:"help"`
}

// List shows every setting and its value.
func (s *Settings) List() []Setting {
	var out []Setting
	for _, set := range settings() {
		out = append(out, Setting{set.Name, "LABCTL_" + strings.ToUpper(set.Name), set.Get(s), set.Help})
	}
	return out
}

// Set sets one by name, as flags do.
func (s *Settings) Set(name, value string) error {
	for _, set := range settings() {
		if set.Name == name {
			if err := set.Set(s, value); err != nil {
				return &UsageError{fmt.Errorf("setting %s: %w", name, err)}
			}
			return nil
		}
	}
	return &UsageError{fmt.Errorf("there is no setting %s", strconv.Quote(name))}
}

func primitiveText(v cty.Value) (string, error) {
	v, err := convert.Convert(v, cty.String)
	if err != nil || v.IsNull() {
		return "", errors.New("want a string")
	}
	return v.AsString(), nil
}
