//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/gke/gketest"
	"github.com/labctl/labctl/provision/kind"
)

const gkeLab = `
lab "gke-lab" {
  title = "A lab on GKE"
}
cluster "gke" {
  location = "us-west2-a"
  nodes    = 1
  ttl      = "8h"
}
app "web" {
  labels = { app = "web" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "client" {
  labels = { app = "client" }
}
task "close" {
  title        = "Close"
  instructions = "Close it."
  objective "closed" {
    points = 1
    expect "dropped" {
      from = app.client
      to   = app.web.port.http
    }
  }
}
`

const gkePolicy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
`

// gke follows a lab on GKE from an up that is interrupted to down. Google is a stand-in, behind the real client and a real
// connection; its cluster is one of kind's, so Cilium's values for the nodes of Google are overridden.
func (s *suite) gke(t *testing.T) {
	name := s.name + "-gke"
	google := newGoogle(t, s)
	dir := t.TempDir()
	values := filepath.Join(dir, "kind-values.yaml")
	for path, text := range map[string]string{
		filepath.Join(dir, "lab.hcl"): gkeLab, filepath.Join(dir, "answer", "web.yaml"): gkePolicy,
		values: "nodeinit: {enabled: false}\ngke: {enabled: false}\ncni: {binPath: /opt/cni/bin}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cloud := s.with(append(google.env, "LABCTL_CILIUM_VALUES="+os.Getenv("LABCTL_CILIUM_VALUES")+" "+values)...)
	t.Cleanup(func() { // only with Google's stand-in
		if _, err := s.state(name); err == nil {
			cloud.run(t, 0, "down", name)
		}
	})
	cloud.run(t, 0, "plan", dir, "--name", name).has(t, `create +cluster +cluster labctl-`+name+`: 1 × e2-standard-2 .*us-west2-a.* USD an hour`)

	// Ctrl-C while Google makes the cluster: it is mentioned, and the next up goes on with it.
	cloud.run(t, 2, "up", dir, "--name", name).has(t, `nothing was created, .*USD an hour.*--yes`)
	p := cloud.start(t, "up", dir, "--name", name, "--yes")
	eventually(t, time.Minute, 50*time.Millisecond, func() error {
		if len(google.server.Clusters()) == 0 {
			return fmt.Errorf("Google was not asked for a cluster: %s%s", p.stdout.String(), p.stderr.String())
		}
		return nil
	})
	p.interrupt(t)
	interrupted := p.wait(t, 20*time.Second)
	if interrupted.code != 130 {
		t.Errorf("exit code %d", interrupted.code)
	}
	interrupted.has(t, `Google continues creating the cluster`, `labctl down `+name+` deletes it`)
	cloud.run(t, 0, "list").has(t, name+`.*gke labctl-`+name+` +broken, incomplete \(Google is still creating it\)`)

	up := cloud.run(t, 0, "up", dir, "--name", name)
	up.has(t, `is ready`, `1 of 1 connection`)
	t.Logf("up on GKE's stand-in took %.1f s", up.took.Seconds())
	if made := google.server.Calls()["CreateCluster"]; made != 1 {
		t.Errorf("Google was asked for %d clusters", made)
	}
	cloud.run(t, 0, "up", dir, "--name", name).has(t, `is ready`)
	cloud.run(t, 0, "status", name).has(t, `Everything is ready`)

	// The kubeconfig holds no secret, and works for kubectl: labctl is its credential plugin.
	kubeconfig := filepath.Join(s.instanceDir(name), "kubeconfig")
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), google.token()) || strings.Contains(string(data), "client-key") || !strings.Contains(string(data), "gke-credentials") {
		t.Errorf("the kubeconfig:\n%s", data)
	}
	kubectl := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("kubectl", append([]string{"--kubeconfig", kubeconfig}, args...)...)
		cmd.Env = cloud.env
		r := start(t, cmd).wait(t, time.Minute)
		if r.code != 0 {
			t.Fatalf("%s: %s", r.line, r.output())
		}
		return r.stdout
	}
	cloud.run(t, 1, "grade", name, "--task", "close").has(t, `0 / 1`)
	kubectl("apply", "-f", filepath.Join(dir, "answer", "web.yaml"))
	cloud.run(t, 0, "grade", name, "--task", "close").has(t, `100%`)

	// A cluster whose state is lost is found by its labels.
	cloud.run(t, 0, "gc").has(t, `labctl-`+name+` +course/us-west2-a +gke-lab`)
	lost := filepath.Join(s.dir, name+".lost")
	if err := os.Rename(s.instanceDir(name), lost); err != nil {
		t.Fatal(err)
	}
	cloud.run(t, 0, "gc").has(t, `to delete: no lab instance uses it`, `Nothing deleted. Rerun with --yes`)
	if err := os.Rename(lost, s.instanceDir(name)); err != nil {
		t.Fatal(err)
	}
	if len(google.server.Clusters()) != 1 {
		t.Fatal("gc deleted the cluster without being told to")
	}

	cloud.run(t, 0, "down", name)
	s.gone(t, name)
	if left := google.server.Clusters(); len(left) > 0 {
		t.Errorf("Google still has %v", left)
	}
}

// google stands in for Google: its API, and the server that gives out tokens.
type google struct {
	server *gketest.Server
	env    []string // of a labctl that uses it
	tokens chan string
}

// token is what the API server of the cluster takes; before there is one, any.
func (g *google) token() string {
	token := <-g.tokens
	g.tokens <- token
	return token
}

func newGoogle(t *testing.T, s *suite) *google {
	t.Helper()
	g := &google{server: &gketest.Server{}, tokens: make(chan string, 1)}
	g.tokens <- "none-yet"
	site, err := provision.ReadSettings("", false, s.env)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := kind.New(labs.Cluster{Provider: kind.Name, Settings: map[string]any{"workers": 0}}, site, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	own := func(c *containerpb.Cluster) provision.Cluster {
		return provision.Cluster{Name: c.Name, Kubeconfig: filepath.Join(s.dir, "google-kubeconfig")}
	}
	g.server.Make = func(ctx context.Context, c *containerpb.Cluster) (string, []byte, error) {
		return g.make(ctx, provider, own(c), site.Images)
	}
	g.server.Remove = func(ctx context.Context, c *containerpb.Cluster) error { return provider.Delete(ctx, own(c)) }

	certificate, authority := serverCertificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- g.server.Serve(ctx, l, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}})))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, g.token())
	}))
	t.Cleanup(tokens.Close)
	g.env = []string{
		"LABCTL_GKE_ENDPOINT=" + l.Addr().String(), "SSL_CERT_FILE=" + authority, "NO_PROXY=127.0.0.1",
		"GOOGLE_APPLICATION_CREDENTIALS=" + keyFile(t, tokens.URL), "GOOGLE_CLOUD_PROJECT=",
	}
	return g
}

// make makes a cluster of kind that takes a token.
func (g *google) make(ctx context.Context, provider provision.Provider, c provision.Cluster, images []string) (string, []byte, error) {
	nothing := provision.CreateProgress{Milestone: func(provision.Milestone) {}, Step: func(string) {}}
	if err := provider.Create(ctx, c, nothing); err != nil {
		return "", nil, err
	}
	if err := provider.(provision.ImageLoader).LoadImages(ctx, c, images, func(string) {}); err != nil {
		return "", nil, err
	}
	data, err := provider.Kubeconfig(ctx, c)
	if err != nil {
		return "", nil, err
	}
	client, err := kube.Parse(data)
	if err != nil {
		return "", nil, err
	}
	token, err := administrator(ctx, client)
	if err != nil {
		return "", nil, err
	}
	<-g.tokens
	g.tokens <- token
	return strings.TrimPrefix(client.Config.Host, "https://"), client.Config.CAData, nil
}

// administrator makes an account that may do everything, and returns a token for it.
func administrator(ctx context.Context, client *kube.Client) (string, error) {
	const namespace, name = metav1.NamespaceSystem, "google-user"
	if _, err := client.Typed.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}
	if _, err := client.Typed.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	request, err := client.Typed.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// serverCertificate is for 127.0.0.1; authority is the file that a client must trust.
func serverCertificate(t *testing.T) (certificate tls.Certificate, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	authority = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, authority
}

// keyFile is the key of a service account whose tokens come from tokenURL.
func keyFile(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "course", "private_key_id": "1", "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "tests@course.iam.gserviceaccount.com", "token_uri": tokenURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
