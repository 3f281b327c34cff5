package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// writeSettings writes a settings file and returns its path.
func writeSettings(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsDefaults(t *testing.T) {
	t.Parallel()
	s, err := ReadSettings(filepath.Join(t.TempDir(), "none.hcl"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultSettings(), s); diff != "" {
		t.Error(diff)
	}
	if s.Path != "" || s.AppImage != DefaultAppImage || s.Externals != ExternalsAuto || s.Timeouts.Cluster != 0 || s.Timeouts.Images != 10*time.Minute {
		t.Errorf("defaults %+v", s)
	}
}

// TestEverySetting sets each by each way, so that a new one that is forgotten somewhere fails.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	values := map[string]struct{ hcl, text string }{
		"node_image":          {`"kindest/node:v1"`, "kindest/node:v1"},
		"cilium_chart":        {`"oci://example.org/cilium"`, "oci://example.org/cilium"},
		"cilium_chart_digest": {`"sha256:` + sum + `"`, sum},
		"cilium_repository":   {`"https://charts.example.org"`, "https://charts.example.org"},
		"cilium_values":       {`["/a.yaml", "/b.yaml"]`, "/a.yaml /b.yaml"},
		"images":              {`["a:1", "b.tar"]`, "a:1 b.tar"},
		"app_image":           {`"agnhost:1"`, "agnhost:1"},
		"registry_mirrors":    {`{ "docker.io" = "https://mirror:5000", "quay.io" = "https://quay.mirror" }`, "docker.io=https://mirror:5000 quay.io=https://quay.mirror"},
		"externals":           {`"stand_in"`, "stand_in"},
		"gke_endpoint":        {`"container.example.org:443"`, "container.example.org:443"},
		"timeout_cluster":     {`"7m"`, "7m0s"},
		"timeout_images":      {`"8m"`, "8m0s"},
		"timeout_cilium":      {`"9m"`, "9m0s"},
		"registry_auth_file":  {`"/a.json"`, "/a.json"},
		"registry_ca_file":    {`"/ca.pem"`, "/ca.pem"},
		"timeout_apps":        {`"90s"`, "1m30s"},
	}
	for _, set := range DefaultSettings().List() {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			value, ok := values[set.Name]
			if !ok {
				t.Fatal("this test does not know it")
			}
			if set.Value == value.text {
				t.Fatal("the default is the value that is set")
			}
			if set.Env != "LABCTL_"+strings.ToUpper(set.Name) || set.Help == "" {
				t.Errorf("%+v", set)
			}
			get := func(s *Settings) string {
				list := s.List()
				return list[slices.IndexFunc(list, func(l Setting) bool { return l.Name == set.Name })].Value
			}
			file := writeSettings(t, set.Name+" = "+value.hcl+"\n")
			fromFile, err := ReadSettings(file, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := get(fromFile); got != value.text || fromFile.Path != file {
				t.Errorf("file: got %q from %q", got, fromFile.Path)
			}
			fromEnv, err := ReadSettings("", false, []string{set.Env + "=" + value.text})
			if err != nil {
				t.Fatal(err)
			}
			if got := get(fromEnv); got != value.text {
				t.Errorf("environment: got %q", got)
			}
			fromFlag := DefaultSettings()
			if err := fromFlag.Set(set.Name, value.text); err != nil {
				t.Fatal(err)
			}
			if got := get(fromFlag); got != value.text {
				t.Errorf("flag: got %q", got)
			}
			// Nothing else has changed.
			fromFlag.Path, fromFile.Path = "", ""
			if diff := cmp.Diff(fromFlag, fromEnv); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(fromFlag, fromFile); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestConfigIsAFile: what `labctl config` prints is a settings file that sets the same, also with spaces, commas
// and quotes.
func TestConfigIsAFile(t *testing.T) {
	t.Parallel()
	odd := DefaultSettings()
	odd.NodeImage = `a "quoted" ${name}`
	odd.Values = []string{"/Users/me/Library/Application Support/values.yaml", "/b,c.yaml"}
	odd.Images = []string{"/srv/my labs/a.tar"}
	odd.Mirrors = map[string]string{"docker.io": "https://mirror.example:5000", "quay.io": "https://quay.example/a b"}
	for _, want := range []*Settings{DefaultSettings(), odd} {
		var file strings.Builder
		for _, set := range want.List() {
			fmt.Fprintf(&file, "%s = %s\n", set.Name, set.HCL)
		}
		got, err := ReadSettings(writeSettings(t, file.String()), true, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, &file)
		}
		got.Path = ""
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		var environ []string
		for _, set := range want.List() {
			environ = append(environ, set.Env+"="+set.Value)
		}
		if got, err = ReadSettings("", false, environ); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("as variables: %s", diff)
		}
	}
}

// TestListsOfFile: items of a list in the file may have spaces and commas; a string is split as in the environment.
func TestListsOfFile(t *testing.T) {
	t.Parallel()
	s, err := ReadSettings(writeSettings(t, "images = [\"/srv/my labs/a.tar\", \"b,c.tar\"]\ncilium_values = \"/a.yaml, /b.yaml\"\n"), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/srv/my labs/a.tar", "b,c.tar"}; !slices.Equal(s.Images, want) {
		t.Errorf("images %q", s.Images)
	}
	if want := []string{"/a.yaml", "/b.yaml"}; !slices.Equal(s.Values, want) {
		t.Errorf("values %q", s.Values)
	}
}

// TestSettingsAreDocumented: the page lists the settings that there are, in their order, and no other.
func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "site-settings.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented, exist []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `(LABCTL_[A-Z_]+)` \\| `(--[a-z-]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, strings.Join(row[1:], " "))
	}
	for _, set := range DefaultSettings().List() {
		exist = append(exist, strings.Join([]string{set.Name, set.Env, "--" + strings.ReplaceAll(set.Name, "_", "-")}, " "))
	}
	if diff := cmp.Diff(exist, documented); diff != "" {
		t.Errorf("docs/site-settings.md (-there are, +it lists):\n%s", diff)
	}
}

func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	file := writeSettings(t, "node_image = \"file\"\napp_image = \"file\"\ncilium_repository = \"file\"\n")
	s, err := ReadSettings(file, true, []string{"LABCTL_APP_IMAGE=environment", "LABCTL_CILIUM_REPOSITORY=environment", "LABCTL_NODE_IMAGE=", "OTHER=x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set("cilium_repository", "flag"); err != nil {
		t.Fatal(err)
	}
	// An environment variable that is empty is not set.
	if s.NodeImage != "file" || s.AppImage != "environment" || s.Repo != "flag" {
		t.Errorf("got %q, %q, %q", s.NodeImage, s.AppImage, s.Repo)
	}
}

// TestSettingsPaths: a path in the file is relative to it, whatever the current directory is; what is no file
// there, such as an image's name, stays.
func TestSettingsPaths(t *testing.T) {
	t.Parallel()
	path := writeSettings(t, `
cilium_chart  = "charts/cilium.tgz"
cilium_values = ["values.yaml", "/etc/values.yaml"]
images        = ["images.tar", "quay.io/cilium/cilium:v1.20.2"]
`)
	dir := filepath.Dir(path)
	if err := os.Mkdir(filepath.Join(dir, "charts"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"charts/cilium.tgz", "values.yaml", "images.tar"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ReadSettings(path, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Chart != filepath.Join(dir, "charts/cilium.tgz") ||
		!slices.Equal(s.Values, []string{filepath.Join(dir, "values.yaml"), "/etc/values.yaml"}) ||
		!slices.Equal(s.Images, []string{filepath.Join(dir, "images.tar"), "quay.io/cilium/cilium:v1.20.2"}) {
		t.Errorf("chart %q, values %q, images %q", s.Chart, s.Values, s.Images)
	}
}

func TestSettingsErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, env, want string }{
		{"unknown", "node_imgae = \"x\"", "", `config.hcl:1,1-11: Unknown setting; There is no setting "node_imgae"`},
		{"no HCL", "node_image = ", "", "config.hcl:1,"},
		{"a block", "kind {\n}", "", "config.hcl:1,"},
		{"a function", "node_image = file(\"/etc/passwd\")", "", "config.hcl:1,14-"},
		{"a number for a list", "images = [1, [2]]", "", "config.hcl:1,10-18: Setting images; must be a string"},
		{"null", "images = null", "", "a value is required"},
		{"no duration", "timeout_apps = \"soon\"", "", `config.hcl:1,16-22: Setting timeout_apps; "soon": must be a duration such as 5m`},
		{"a duration of nothing", "timeout_apps = \"0s\"", "", "must be a duration"},
		{"externals", "externals = \"no\"", "", "must be auto, real or stand_in"},
		{"mirrors", "registry_mirrors = [\"docker.io\"]", "", "must be HOST=URL"},
		{"digest", "cilium_chart_digest = \"abc\"", "", "must be the 64 hexadecimal digits that sha256sum prints"},
		{"a list for a string", "node_image = [\"a\", \"b\"]", "", "must be a single value, not a list"},
		{"a map for a list", "images = { a = \"b\" }", "", "must be a string, a list of strings"},
		{"environment", "", "LABCTL_EXTERNALS=no", `environment variable LABCTL_EXTERNALS: "no": must be auto, real or stand_in`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadSettings(writeSettings(t, tc.file), true, []string{tc.env})
			wantError(t, err, tc.want, true)
		})
	}
	t.Run("all of a file at once", func(t *testing.T) {
		t.Parallel()
		_, err := ReadSettings(writeSettings(t, "a = 1\nb = 2\n"), true, nil)
		if err == nil || !strings.Contains(err.Error(), "1 other diagnostic") && !(strings.Contains(err.Error(), `"a"`) && strings.Contains(err.Error(), `"b"`)) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("all of the environment at once", func(t *testing.T) {
		t.Parallel()
		_, err := ReadSettings("", false, []string{"LABCTL_EXTERNALS=no", "LABCTL_TIMEOUT_APPS=no"})
		wantError(t, err, "LABCTL_EXTERNALS", true)
		wantError(t, err, "LABCTL_TIMEOUT_APPS", true)
	})
	t.Run("a file that must be there", func(t *testing.T) {
		t.Parallel()
		_, err := ReadSettings(filepath.Join(t.TempDir(), "none.hcl"), true, nil)
		wantError(t, err, "no such file", true)
	})
	t.Run("a directory", func(t *testing.T) {
		t.Parallel()
		_, err := ReadSettings(t.TempDir(), false, nil)
		wantError(t, err, "is a directory", true)
	})
	t.Run("flags", func(t *testing.T) {
		t.Parallel()
		wantError(t, DefaultSettings().Set("node_imgae", "x"), `there is no setting "node_imgae"`, true)
		wantError(t, DefaultSettings().Set("timeout_apps", "soon"), "setting timeout_apps", true)
	})
}

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct {
		name string
		s    Settings
		want []string // the settings to be corrected
	}{
		{"nothing is set", Settings{}, nil},
		{"an oci chart is no file", Settings{Chart: "oci://example.org/cilium"}, nil},
		{"all there", Settings{Chart: dir, Values: []string{dir}}, nil},
		{"nothing there", Settings{Chart: dir + "/a", Values: []string{dir, dir + "/b", dir + "/c"}, AuthFile: dir + "/d", CAFile: dir + "/e"},
			[]string{"cilium_chart", "cilium_values", "cilium_values", "registry_auth_file", "registry_ca_file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range (&Manager{Settings: &tc.s}).checkSettings() {
				if f.Severity != Failure || !strings.Contains(f.Message, "no such file") {
					t.Errorf("%+v", f)
				}
				got = append(got, strings.TrimPrefix(f.Fix, "fix the setting "))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSplitList(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                              nil,
		"a":                             {"a"},
		"a b,c\n\td, e":                 {"a", "b", "c", "d", "e"},
		`"/srv/my labs/a.tar" b,'c, d'`: {"/srv/my labs/a.tar", "b", "c, d"},
		`docker.io="https://a b"`:       {"docker.io=https://a b"},
		`''`:                            {""},
	} {
		got, err := splitList(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
		if again, err := splitList(joinList(want)); err != nil || !slices.Equal(again, want) {
			t.Errorf("%q, joined: got %q, %v", want, again, err)
		}
	}
	if again, err := splitList(joinList([]string{`it's "odd"`, "it's"})); err != nil || !slices.Equal(again, []string{`it's "odd"`, "it's"}) {
		t.Errorf("both quotes: got %q, %v", again, err)
	}
	if _, err := splitList(`"/srv/my labs`); err == nil || !strings.Contains(err.Error(), "a quote is not closed") {
		t.Errorf("an open quote: %v", err)
	}
}

// TestPathsOfEnvironment: a path in the environment is relative to the current directory, also where labctl config
// writes it into a file.
func TestPathsOfEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"my values.yaml", "a.tar"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("busybox", 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSettings("", false, []string{`LABCTL_CILIUM_VALUES='my values.yaml'`, "LABCTL_IMAGES=a.tar busybox"})
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(here, "my values.yaml")}; !slices.Equal(s.Values, want) {
		t.Errorf("values %q", s.Values)
	}
	if want := []string{filepath.Join(here, "a.tar"), "busybox"}; !slices.Equal(s.Images, want) {
		t.Errorf("images %q", s.Images)
	}
}

func TestUsageErrorUnwraps(t *testing.T) {
	t.Parallel()
	if err := (&UsageError{os.ErrNotExist}); !errors.Is(err, os.ErrNotExist) || err.Error() != os.ErrNotExist.Error() {
		t.Errorf("%v", err)
	}
}
