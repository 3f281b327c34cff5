package kind

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLacking(t *testing.T) {
	const node1 = `{"images": [{"id": "sha256:1", "repoTags": ["docker.io/library/app:1"]}, {"id": "sha256:2", "repoTags": ["quay.io/cilium/cilium:v1"]}, {"id": "sha256:9"}]}`
	const old = `{"info": {"imageSpec": {"created": "2026-01-01T00:00:00Z", "rootfs": {"diff_ids": ["sha256:l1"]}}}}`
	made := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	want := map[string]localImage{
		"app:1":                    {"sha256:1", made, []string{"sha256:l0"}},
		"quay.io/cilium/cilium:v1": {"sha256:2new", made, []string{"sha256:l1", "sha256:l2"}},
	}
	for _, tc := range []struct {
		name, node2 string
		inspect     string            // of the other version on node a
		want        map[string]string // node → images, sorted
		err         string
	}{
		{"one in another version, one node without", `echo '{"images": []}'`, old, map[string]string{"a": "quay.io/cilium/cilium:v1", "b": "app:1 quay.io/cilium/cilium:v1"}, ""},
		{"the same layers, made at another time", `echo '{"images": []}'`, `{"info": {"imageSpec": {"created": "2026-01-01T00:00:00Z", "rootfs": {"diff_ids": ["sha256:l1", "sha256:l2"]}}}}`,
			map[string]string{"a": "quay.io/cilium/cilium:v1"}, ""},
		{"the same under another ID, as of an index", `echo '{"images": []}'`, `{"info": {"imageSpec": {"created": "2026-02-02T00:00:00Z", "rootfs": {"diff_ids": ["sha256:l1", "sha256:l2"]}}}}`,
			map[string]string{"a": "", "b": "app:1 quay.io/cilium/cilium:v1"}, ""},
		{"no tags at all", `echo '{"images": [{"id": "sha256:1"}]}'`, old, map[string]string{"a": "quay.io/cilium/cilium:v1", "b": "app:1 quay.io/cilium/cilium:v1"}, ""},
		{"no crictl", `echo "OCI runtime exec failed: crictl: not found" >&2; exit 126`, old, nil, "list the images on b: docker exec: OCI runtime exec failed"},
		{"no JSON", "echo oops", old, nil, "list the images on b: invalid character"},
		{"nothing to inspect", "echo oops", "oops", nil, "inspect quay.io/cilium/cilium:v1 on a: invalid character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeDocker(t, `"exec a crictl images"*) echo '`+node1+"' ;;\n\"exec b crictl images\"*) "+tc.node2+` ;;
"exec a crictl inspecti -o json sha256:2") echo '`+tc.inspect+"' ;;")
			got, err := newProvider(t, nil, nil).lacking(context.Background(), []string{"a", "b"}, want)
			wantError(t, err, tc.err)
			for node, images := range tc.want {
				slices.Sort(got[node])
				if strings.Join(got[node], " ") != images {
					t.Errorf("%s lacks %q, want %q", node, got[node], images)
				}
			}
		})
	}
}

// TestLoadImages: with Docker's containerd store only the node's platform is written, and none is imported that the
// archive does not have; an image that the nodes have is not written again.
func TestLoadImages(t *testing.T) {
	const inspect = `"image inspect"*) echo '{"id": "sha256:index", "created": "2026-02-02T00:00:00Z", "layers": ["sha256:l1"]}' ;;
`
	const nobody = `*"crictl images"*) echo '{"images": []}' ;;
`
	const containerd = `"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]`
	for _, tc := range []struct{ name, info, answers, want string }{
		{"the classic store", `{"ServerVersion": "29.0.1", "Architecture": "x86_64", "DriverStatus": [["Backing Filesystem", "extfs"]]}`, nobody, "save app:1"},
		{"containerd's store", `{"ServerVersion": "29.0.1", "Architecture": "x86_64", ` + containerd + `}`, nobody, "save --platform linux/amd64 app:1"},
		{"containerd's store on ARM", `{"ServerVersion": "28.0.0", "Architecture": "aarch64", ` + containerd + `}`, nobody, "save --platform linux/arm64 app:1"},
		{"containerd's store of an older Docker", `{"ServerVersion": "27.5.1", "Architecture": "x86_64", ` + containerd + `}`, nobody, "save app:1"},
		{"already there", `{"ServerVersion": "29.0.1", "Architecture": "x86_64", ` + containerd + `}`, `*"crictl images"*) echo '{"images": [{"id": "sha256:config", "repoTags": ["docker.io/library/app:1"]}]}' ;;
*"crictl inspecti"*) echo '{"info": {"imageSpec": {"created": "2026-02-02T00:00:00Z", "rootfs": {"diff_ids": ["sha256:l1"]}}}}' ;;
`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := fakeDocker(t, inspect+tc.answers+`"info"*) echo '`+tc.info+`' ;;
"save"*) echo archive ;;
"exec -i"*) cat >/dev/null ;;`)
			if err := newProvider(t, nil, nil).LoadImages(context.Background(), shopCluster, []string{"app:1"}, func(string) {}); err != nil {
				t.Fatal(err)
			}
			saved, imported := "", 0
			for _, line := range asked() {
				if strings.HasPrefix(line, "save") {
					saved = line
				}
				if strings.HasPrefix(line, "exec -i") {
					imported++
				}
				if strings.Contains(line, "--all-platforms") {
					t.Errorf("it imports all platforms: %s", line)
				}
			}
			if nodes := 2; saved != tc.want || imported != 0 && imported != nodes || (imported == 0) != (tc.want == "") {
				t.Errorf("docker was asked to %q, and %d nodes imported it", saved, imported)
			}
		})
	}
}

// TestLoadArchive: an archive is imported on the nodes that lack one of its images, and where it does not say what it has.
func TestLoadArchive(t *testing.T) {
	const id = "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
	archive := func(files ...string) string {
		path := filepath.Join(t.TempDir(), "images.tar")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(f)
		for i := 0; i < len(files); i += 2 {
			_ = w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
			_, _ = io.WriteString(w, files[i+1])
		}
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	manifest := func(config, tags string) string { return `[{"Config": "` + config + `", "RepoTags": ` + tags + `}]` }
	for _, tc := range []struct {
		name, path string
		nodes      int // that import it
	}{
		{"one node has it", archive("layer", "x", "manifest.json", manifest(id+".json", `["app:1"]`)), 1},
		{"as an index", archive("index.json", "{}", "manifest.json", manifest("blobs/sha256/"+id, `["app:1"]`)), 1},
		{"another version", archive("manifest.json", manifest("0"+id[1:]+".json", `["app:1"]`)), 2},
		{"without names", archive("manifest.json", manifest(id+".json", `null`)), 2},
		{"not of Docker", archive("oci-layout", "{}"), 2},
		{"broken", archive("manifest.json", "["), 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := fakeDocker(t, `"exec labctl-shop-worker crictl images"*) echo '{"images": []}' ;;
*"crictl images"*) echo '{"images": [{"id": "sha256:`+id+`", "repoTags": ["docker.io/library/app:1"]}]}' ;;
*"crictl inspecti"*) echo '{}' ;;
"exec -i"*) cat >/dev/null ;;`)
			if err := newProvider(t, nil, nil).LoadImages(context.Background(), shopCluster, []string{tc.path}, func(string) {}); err != nil {
				t.Fatal(err)
			}
			imported := 0
			for _, line := range asked() {
				if strings.HasPrefix(line, "exec -i") {
					imported++
				}
			}
			if imported != tc.nodes {
				t.Errorf("%d nodes imported it, want %d: %q", imported, tc.nodes, asked())
			}
		})
	}
}
