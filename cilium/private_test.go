package cilium

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocireg "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v3/pkg/registry"
)

// TestPrivateRegistry: a registry and a chart repository with a certificate of a private authority, which ask for a
// user and a password.
func TestPrivateRegistry(t *testing.T) {
	t.Parallel()
	good := archive(t, "cilium", "1.20.2")
	files, images := &chartRepository{archive: good, index: digest(good)}, ocireg.New()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "school" || password != "geheim" {
			w.Header().Set("WWW-Authenticate", `Basic realm="school"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			images.ServeHTTP(w, r)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	login := func(name, host, password string) string {
		token := base64.StdEncoding.EncodeToString([]byte("school:" + password))
		return write(name, fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, token))
	}
	auth, wrong, elsewhere := login("auth.json", host, "geheim"), login("wrong.json", host, "no"), login("other.json", "example.org", "geheim")
	client, err := registry.NewClient(registry.ClientOptHTTPClient(server.Client()), registry.ClientOptWriter(new(bytes.Buffer)),
		registry.ClientOptCredentialsFile(auth))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(good, host+"/charts/cilium:1.20.2"); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]Source{
		"repository": {Repo: server.URL + "/charts", Version: "1.20.2"},
		"registry":   {Ref: "oci://" + host + "/charts/cilium", Version: "1.20.2"},
	} {
		for _, tc := range []struct{ name, ca, auth, want string }{
			{"both", ca, auth, ""},
			{"no authority", "", auth, "certificate"},
			{"no credentials", ca, "", "401"},
			{"another password", ca, wrong, "401"},
			{"credentials of another host", ca, elsewhere, "401"},
			{"no certificate in the file", auth, auth, "has no certificate in PEM"},
			{"no such file", filepath.Join(dir, "none.pem"), auth, "read the certificates of registries"},
		} {
			t.Run(name+", "+tc.name, func(t *testing.T) {
				source := source
				source.CAFile, source.AuthFile = tc.ca, tc.auth
				chart, err := source.Fetch(context.Background())
				if err != nil && strings.Contains(err.Error(), "basic credential not found") { // in the registry's client
					err = errors.New("401")
				}
				check(t, err, tc.want)
				if err == nil && chart.Digest != "sha256:"+digest(good) {
					t.Errorf("digest %s", chart.Digest)
				}
				if err != nil && strings.Contains(err.Error(), "geheim") {
					t.Errorf("the error has the password: %v", err)
				}
			})
		}
	}
}

// TestPasswordInAddress: a password in the repository's address is used, and never shown.
func TestPasswordInAddress(t *testing.T) {
	t.Parallel()
	good := archive(t, "cilium", "1.20.2")
	files := &chartRepository{archive: good, index: digest(good)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "geheim" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	source := Source{Repo: strings.Replace(server.URL, "://", "://school:geheim@", 1) + "/charts", Version: "1.20.2"}
	chart, err := source.Fetch(context.Background())
	check(t, err, "")
	if err == nil && strings.Contains(chart.From+source.String(), "geheim") {
		t.Errorf("it comes from %s, %s", chart.From, source)
	}
	source.Repo = strings.Replace(server.URL, "://", "://school:geheim-2@", 1) + "/charts"
	if _, err = source.Fetch(context.Background()); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("the error is %v", err)
	}
}
