package cilium

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocireg "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v3/pkg/registry"
)

// chartFiles are the files of a small chart, with a schema.
func chartFiles(name, version string) map[string]string {
	return map[string]string{
		"Chart.yaml":         fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\nappVersion: %s\n", name, version, version),
		"values.yaml":        "replicas: 1\n",
		"values.schema.json": `{"type": "object", "properties": {"replicas": {"type": "integer"}}}`,
	}
}

// archive is a chart's archive.
func archive(t *testing.T, name, version string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	files := chartFiles(name, version)
	for _, file := range slices.Sorted(maps.Keys(files)) { // the same bytes each time
		content := files[file]
		if err := w.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// chartRepository serves an index and an archive, and counts who asks.
type chartRepository struct {
	archive []byte
	index   string // digest that the index says
	asked   int
}

func (r *chartRepository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked++
	switch req.URL.Path {
	case "/charts/index.yaml":
		fmt.Fprintf(w, "apiVersion: v1\nentries:\n  cilium:\n  - {name: cilium, version: 1.20.2, urls: [cilium-1.20.2.tgz], digest: %q}\n", r.index)
	case "/charts/cilium-1.20.2.tgz":
		w.Write(r.archive)
	default:
		http.NotFound(w, req)
	}
}

func TestFetchFromRepository(t *testing.T) {
	t.Parallel()
	good := archive(t, "cilium", "1.20.2")
	for _, tc := range []struct {
		name    string
		repo    chartRepository
		version string
		digest  string // of the setting
		want    string // in the error; empty: none
	}{
		{"as the index says", chartRepository{archive: good, index: digest(good)}, "1.20.2", "", ""},
		{"as the setting says", chartRepository{archive: good, index: digest(good)}, "1.20.2", "sha256:" + digest(good), ""},
		{"no digest in the index, one in the settings", chartRepository{archive: good}, "1.20.2", digest(good), ""},
		{"no digest at all", chartRepository{archive: good}, "1.20.2", "", "cilium_chart_digest"},
		{"not what the index says", chartRepository{archive: good, index: digest([]byte("other"))}, "1.20.2", "", "but the index says sha256:" + digest([]byte("other")) + "; refusing to use it"},
		{"index and archive replaced", chartRepository{archive: good, index: digest(good)}, "1.20.2", digest([]byte("real")), "expected sha256:" + digest([]byte("real")) + "; refusing to use it"},
		{"version missing", chartRepository{archive: good, index: digest(good)}, "1.19.0", "", "version 1.19.0: no chart version found"},
		{"another chart", chartRepository{archive: archive(t, "calico", "1.20.2"), index: digest(archive(t, "calico", "1.20.2"))}, "1.20.2", "", `is "calico", not Cilium's`},
		{"no archive", chartRepository{archive: []byte("<html>"), index: digest([]byte("<html>"))}, "1.20.2", "", "read the chart"},
		{"too large", chartRepository{archive: make([]byte, maxChart+1)}, "1.20.2", "", "is larger than 64 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(&tc.repo)
			defer server.Close()
			source := Source{Repo: server.URL + "/charts", Version: tc.version, Digest: tc.digest}
			chart, err := source.Fetch(context.Background())
			check(t, err, tc.want)
			if err == nil && (chart.Version != "1.20.2" || chart.Digest != "sha256:"+digest(good)) {
				t.Errorf("got version %s, digest %s", chart.Version, chart.Digest)
			}
		})
	}
}

// check holds an error against what it is to say; empty: there is to be none.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatal(err)
	case want != "" && err == nil:
		t.Fatalf("no error, want one with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("the error is %q; want one with %q", err, want)
	}
}

func TestFetchFromNowhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	_, err := Source{Repo: server.URL, Version: "1.20.2"}.Fetch(context.Background())
	check(t, err, "index.yaml: 404 Not Found")
	server.Close()
	_, err = Source{Repo: server.URL, Version: "1.20.2"}.Fetch(context.Background())
	check(t, err, "connection refused")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Source{Repo: server.URL, Version: "1.20.2"}.Fetch(ctx)
	check(t, err, context.Canceled.Error())
}

func TestCache(t *testing.T) {
	t.Parallel()
	good := archive(t, "cilium", "1.20.2")
	repo := &chartRepository{archive: good, index: digest(good)}
	server := httptest.NewServer(repo)
	defer server.Close()
	source := Source{Repo: server.URL + "/charts", Version: "1.20.2", Cache: filepath.Join(t.TempDir(), "cache")}
	fetch := func(wantAsked int) {
		t.Helper()
		repo.asked = 0
		if _, err := source.Fetch(context.Background()); err != nil {
			t.Fatal(err)
		}
		if repo.asked != wantAsked {
			t.Errorf("the repository was asked %d times, want %d", repo.asked, wantAsked)
		}
	}
	fetch(2)
	fetch(0)
	cached := source.cached(source.Repo)
	if err := os.WriteFile(cached, append(good[:len(good):len(good)], "and more"...), 0o644); err != nil {
		t.Fatal(err)
	}
	fetch(2) // what is broken is not used
	fetch(0)
	// What is in the cache counts no more than what is downloaded.
	source.Digest = digest([]byte("other"))
	_, err := source.Fetch(context.Background())
	check(t, err, "expected sha256:"+source.Digest)
	source.Digest = ""
	fetch(0)
	// Another repository's chart is another file.
	if other := source.cached("https://example.org"); other == cached {
		t.Error("two repositories share a file of the cache")
	}
}

func TestFetchLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := archive(t, "cilium", "1.20.2")
	tgz := write("cilium.tgz", good)
	for file, content := range chartFiles("cilium", "1.20.2") {
		write("tree/"+file, []byte(content))
	}
	other := write("other.tgz", archive(t, "ingress-nginx", "1.20.2"))
	broken := write("broken.tgz", good[:len(good)/2])
	for _, tc := range []struct {
		name   string
		source Source
		want   string
	}{
		{"archive", Source{Ref: tgz, Version: "1.20.2"}, ""},
		{"a v before the version", Source{Ref: tgz, Version: "v1.20.2"}, ""},
		{"archive with the right digest", Source{Ref: tgz, Version: "1.20.2", Digest: digest(good)}, ""},
		{"archive with another digest", Source{Ref: tgz, Version: "1.20.2", Digest: digest(nil)}, "expected sha256:" + digest(nil)},
		{"directory", Source{Ref: filepath.Join(dir, "tree"), Version: "1.20.2"}, ""},
		{"a directory has no digest", Source{Ref: filepath.Join(dir, "tree"), Version: "1.20.2", Digest: digest(good)}, "is a directory, which has no digest"},
		{"another version", Source{Ref: tgz, Version: "1.19.6"}, "has version 1.20.2; the lab asks for 1.19.6"},
		{"another chart", Source{Ref: other, Version: "1.20.2"}, `is "ingress-nginx", not Cilium's`},
		{"half an archive", Source{Ref: broken, Version: "1.20.2"}, "read the chart " + broken},
		{"nothing there", Source{Ref: filepath.Join(dir, "no.tgz"), Version: "1.20.2"}, "no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.source.Fetch(context.Background())
			check(t, err, tc.want)
		})
	}
}

func TestFetchOCI(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(ocireg.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	good := archive(t, "cilium", "1.20.2")
	client, err := registry.NewClient(registry.ClientOptPlainHTTP(), registry.ClientOptWriter(new(bytes.Buffer)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(good, host+"/charts/cilium:1.20.2"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		source Source
		want   string
	}{
		{"by the lab's version", Source{Ref: "oci://" + host + "/charts/cilium", Version: "1.20.2"}, ""},
		{"by a tag", Source{Ref: "oci://" + host + "/charts/cilium:1.20.2", Version: "1.20.2"}, ""},
		{"with the right digest", Source{Ref: "oci://" + host + "/charts/cilium", Version: "1.20.2", Digest: digest(good)}, ""},
		{"with another digest", Source{Ref: "oci://" + host + "/charts/cilium", Version: "1.20.2", Digest: digest(nil)}, "expected sha256:" + digest(nil)},
		{"no such version", Source{Ref: "oci://" + host + "/charts/cilium", Version: "1.19.6"}, "fetch the chart oci://"},
		{"another version than the lab's", Source{Ref: "oci://" + host + "/charts/cilium:1.20.2", Version: "1.19.6"}, "has version 1.20.2; the lab asks for 1.19.6"},
		{"nobody there", Source{Ref: "oci://127.0.0.1:1/charts/cilium", Version: "1.20.2"}, "connection refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chart, err := tc.source.Fetch(context.Background())
			check(t, err, tc.want)
			if err == nil && chart.Digest != "sha256:"+digest(good) {
				t.Errorf("digest %s", chart.Digest)
			}
		})
	}
}

// TestKnownDigests: the table holds for Cilium's own repository alone.
func TestKnownDigests(t *testing.T) {
	t.Parallel()
	for version, sum := range digests {
		if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
			t.Errorf("%s: %q is no sha256", version, sum)
		}
		for _, repo := range []string{"", Repository, Repository + "/"} {
			if got := (Source{Repo: repo, Version: "v" + version}).expectedDigest(); got != sum {
				t.Errorf("repository %q, version %s: wanted is %q", repo, version, got)
			}
		}
	}
	for _, s := range []Source{
		{Repo: "https://charts.example.org", Version: "1.20.2"},
		{Ref: "cilium-1.20.2.tgz", Version: "1.20.2"},
		{Version: "1.20.9"},
	} {
		if got := s.expectedDigest(); got != "" {
			t.Errorf("%+v: wanted is %q", s, got)
		}
	}
}

func TestSourceString(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Source{
		"https://helm.cilium.io 1.20.2":     {Version: "1.20.2"},
		"https://charts.example.org 1.20.2": {Repo: "https://charts.example.org", Version: "1.20.2"},
		"/srv/cilium.tgz":                   {Ref: "/srv/cilium.tgz", Version: "1.20.2"},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCheckValues(t *testing.T) {
	t.Parallel()
	chart, err := loadArchive(archive(t, "cilium", "1.20.2"), "test")
	if err != nil {
		t.Fatal(err)
	}
	check(t, CheckValues(chart, map[string]any{"replicas": 2}), "")
	check(t, CheckValues(chart, map[string]any{"replicas": "two"}), "values for chart 1.20.2")
	check(t, CheckValues(chart, map[string]any{"replicas": "two"}), "replicas")
}
