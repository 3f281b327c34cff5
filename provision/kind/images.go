package kind

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/provision"
)

// pull pulls an image if the local engine lacks it.
func (p *Provider) pull(ctx context.Context, image string) error {
	_, err := p.imageID(ctx, image)
	var engineErr *engineError
	if err == nil || !errors.As(err, &engineErr) || engineErr.unreachable() {
		return err
	}
	if _, err := p.engine.run(ctx, "pull", "--quiet", image); err != nil {
		return fmt.Errorf("%s is not on this machine and cannot be pulled: %w", image, err)
	}
	return nil
}

func (p *Provider) imageID(ctx context.Context, image string) (string, error) {
	return p.engine.run(ctx, "image", "inspect", "--format", "{{.Id}}", image)
}

// LoadImages implements provision.ImageLoader. The engine writes the images once, as a stream to all nodes that
// lack one of them.
func (p *Provider) LoadImages(ctx context.Context, c provision.Cluster, images []string, progress func(string)) error {
	nodes := p.settings.nodeNames(c.Name)
	var named, archives []string
	for _, image := range images {
		if !strings.HasSuffix(image, ".tar") {
			named = append(named, image)
			continue
		}
		if _, err := os.Stat(image); err != nil {
			return fmt.Errorf("image archive: %w", err)
		}
		archives = append(archives, image)
	}
	if err := p.loadNamed(ctx, nodes, named, progress); err != nil {
		return err
	}
	for _, path := range archives {
		to, err := p.lackingArchive(ctx, nodes, path)
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		if len(to) == 0 {
			continue
		}
		progress("loading " + path)
		err = p.fanOut(ctx, to, func(_ context.Context, w io.Writer) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// lackingArchive lists the nodes that lack an image of an archive: all of them if it does not say what it contains.
func (p *Provider) lackingArchive(ctx context.Context, nodes []string, path string) ([]string, error) {
	images := archived(path)
	if len(images) == 0 {
		return nodes, nil
	}
	lacking, err := p.lacking(ctx, nodes, images)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(node string) bool { return len(lacking[node]) == 0 }), nil
}

// archived returns the images of an archive as Docker and Podman save them, by name; nil for another archive. The ID of an
// image is the digest of its configuration, whose file is named after it.
func archived(path string) map[string]localImage {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for files := tar.NewReader(f); ; {
		header, err := files.Next()
		if err != nil {
			return nil
		}
		if header.Name != "manifest.json" {
			continue
		}
		var list []struct {
			Config   string
			RepoTags []string
		}
		if err := json.NewDecoder(io.LimitReader(files, 1<<20)).Decode(&list); err != nil {
			return nil
		}
		images := map[string]localImage{}
		for _, image := range list {
			if len(image.RepoTags) == 0 {
				return nil
			}
			for _, name := range image.RepoTags {
				images[name] = localImage{ID: "sha256:" + strings.TrimSuffix(filepath.Base(image.Config), ".json")}
			}
		}
		return images
	}
}

// loadNamed loads images that the engine has or can pull.
func (p *Provider) loadNamed(ctx context.Context, nodes, images []string, progress func(string)) error {
	if len(images) == 0 {
		return nil
	}
	local := map[string]localImage{}
	for _, image := range images {
		if err := p.pull(ctx, image); err != nil {
			return fmt.Errorf("image to load: %w", err)
		}
		found, err := p.inspect(ctx, image)
		if err != nil {
			return fmt.Errorf("image to load: %w", err)
		}
		local[image] = found
	}
	lacking, err := p.lacking(ctx, nodes, local)
	if err != nil {
		return err
	}
	to := slices.DeleteFunc(slices.Clone(nodes), func(node string) bool { return len(lacking[node]) == 0 })
	load := slices.DeleteFunc(slices.Clone(images), func(image string) bool {
		return !slices.ContainsFunc(to, func(node string) bool { return slices.Contains(lacking[node], image) })
	})
	if len(load) == 0 {
		return nil
	}
	save := p.saveCommand(ctx)
	progress(fmt.Sprintf("loading %s into %d nodes", strings.Join(short(load), ", "), len(to)))
	err = p.fanOut(ctx, to, func(ctx context.Context, w io.Writer) error {
		return p.engine.stream(ctx, nil, w, append(save, load...)...)
	})
	if err != nil {
		return fmt.Errorf("load %s: %w", strings.Join(load, ", "), err)
	}
	return nil
}

// localImage is an image of the engine. Its layers identify it in every store: Docker's containerd store calls an image
// by the digest of its index, all others by that of its configuration.
type localImage struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Layers  []string  `json:"layers"`
}

func (p *Provider) inspect(ctx context.Context, image string) (found localImage, err error) {
	text, err := p.engine.run(ctx, "image", "inspect", "--format",
		`{"id": {{json .Id}}, "created": {{json .Created}}, "layers": {{json .RootFS.Layers}}}`, image)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return found, fmt.Errorf("inspect %s: %w", image, err)
	}
	return found, nil
}

// saveCommand is the engine's command that writes images. Docker's containerd store would otherwise write what it has
// of every platform.
func (p *Provider) saveCommand(ctx context.Context) []string {
	name, err := p.engine.find(ctx)
	if err != nil || name != "docker" {
		return []string{"save"}
	}
	info, err := p.info(ctx, name)
	if err != nil || !info.containerdStore() {
		return []string{"save"}
	}
	arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[info.Architecture]
	// Docker has the flag since version 28.
	if major, _, ok := version(info.ServerVersion); !ok || major < 28 || arch == "" {
		return []string{"save"}
	}
	return []string{"save", "--platform", "linux/" + arch}
}

// containerdStore says whether Docker keeps its images in containerd.
func (i *engineInfo) containerdStore() bool {
	return slices.Contains(i.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
}

// lacking lists for each node the images that it lacks, or has in another version.
func (p *Provider) lacking(ctx context.Context, list []string,
	want map[string]localImage) (map[string][]string, error) {
	out := map[string][]string{}
	for _, node := range list {
		names, others, err := p.compareIDs(ctx, node, want)
		if err != nil {
			return nil, fmt.Errorf("list the images on %s: %w", node, err)
		}
		for name, id := range others {
			same, err := p.sameLayers(ctx, node, id, want[name])
			if err != nil {
				return nil, fmt.Errorf("inspect %s on %s: %w", name, node, err)
			}
			if !same {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			out[node] = names
		}
	}
	return out, nil
}

// compareIDs lists the images that a node does not have under their names, and, with their ID there, those that it has
// with another ID.
func (p *Provider) compareIDs(ctx context.Context, node string, want map[string]localImage) (missing []string,
	others map[string]string, err error) {
	text, err := p.engine.exec(ctx, node, "crictl", "images", "-o", "json")
	if err != nil {
		return nil, nil, err
	}
	var got struct {
		Images []struct {
			ID   string   `json:"id"`
			Tags []string `json:"repoTags"`
		} `json:"images"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return nil, nil, err
	}
	there := map[string]string{}
	for _, image := range got.Images {
		for _, tag := range image.Tags {
			for name := range want {
				if tag == name || strings.HasSuffix(tag, "/"+name) {
					there[name] = image.ID
				}
			}
		}
	}
	others = map[string]string{}
	for name, local := range want {
		switch id, ok := there[name]; {
		case !ok:
			missing = append(missing, name)
		case id != local.ID:
			others[name] = id
		}
	}
	return missing, others, nil
}

// sameLayers says whether a node's image is the engine's: made at the same time of the same layers.
func (p *Provider) sameLayers(ctx context.Context, node, id string, local localImage) (bool, error) {
	text, err := p.engine.exec(ctx, node, "crictl", "inspecti", "-o", "json", id)
	if err != nil {
		return false, err
	}
	var got struct {
		Info struct {
			Spec struct {
				Created time.Time `json:"created"`
				RootFS  struct {
					Layers []string `json:"diff_ids"`
				} `json:"rootfs"`
			} `json:"imageSpec"`
		} `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return false, err
	}
	spec := got.Info.Spec
	return len(local.Layers) > 0 && spec.Created.Equal(local.Created) &&
		slices.Equal(spec.RootFS.Layers, local.Layers), nil
}

// fanOut imports what write writes on all nodes.
func (p *Provider) fanOut(ctx context.Context, to []string, write func(context.Context, io.Writer) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var writers []io.Writer
	var pipes []*io.PipeWriter
	for _, node := range to {
		r, w := io.Pipe()
		writers, pipes = append(writers, w), append(pipes, w)
		group.Go(func() error {
			err := p.importImages(ctx, node, r)
			// A node that fails must not block the writer.
			r.CloseWithError(errors.Join(errors.New("the import ended"), err))
			if err != nil {
				return fmt.Errorf("import on %s: %w", node, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		err := write(ctx, io.MultiWriter(writers...))
		for _, w := range pipes {
			w.CloseWithError(err)
		}
		return err
	})
	return group.Wait()
}

// importImages imports an archive on a node. Through containerd's transfer service, the default of newer versions,
// it would take twice the CPU time; older versions have no such service and no flag --local. Only the node's platform
// is imported: the index of an image names others, which an archive of Docker's containerd store does not contain.
func (p *Provider) importImages(ctx context.Context, node string, archive io.Reader) error {
	script := `set -- --namespace=k8s.io images import --digests
if ctr images import --help | grep -q -e --local; then set -- "$@" --local; fi
exec ctr "$@" --snapshotter="${KIND_EXPERIMENTAL_CONTAINERD_SNAPSHOTTER:-overlayfs}" -`
	_, err := p.engine.pipe(ctx, archive, "exec", "-i", node, "sh", "-c", script)
	return err
}

// short are image names without their registry and path.
func short(images []string) []string {
	out := make([]string, len(images))
	for i, image := range images {
		out[i] = image[strings.LastIndexByte(image, '/')+1:]
	}
	return out
}
