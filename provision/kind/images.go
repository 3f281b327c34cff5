package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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
		progress("loading " + path)
		err := p.fanOut(ctx, nodes, func(_ context.Context, w io.Writer) error {
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

// loadNamed loads images that the engine has or can pull.
func (p *Provider) loadNamed(ctx context.Context, nodes, images []string, progress func(string)) error {
	if len(images) == 0 {
		return nil
	}
	ids := map[string]string{}
	for _, image := range images {
		if err := p.pull(ctx, image); err != nil {
			return fmt.Errorf("image to load: %w", err)
		}
		id, err := p.imageID(ctx, image)
		if err != nil {
			return fmt.Errorf("image to load: %w", err)
		}
		ids[image] = id
	}
	lacking, err := p.lacking(ctx, nodes, ids)
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
	progress(fmt.Sprintf("loading %s into %d nodes", strings.Join(short(load), ", "), len(to)))
	err = p.fanOut(ctx, to, func(ctx context.Context, w io.Writer) error {
		return p.engine.stream(ctx, nil, w, append([]string{"save"}, load...)...)
	})
	if err != nil {
		return fmt.Errorf("load %s: %w", strings.Join(load, ", "), err)
	}
	return nil
}

// lacking lists for each node the images that it lacks, or has in another version.
func (p *Provider) lacking(ctx context.Context, list []string, want map[string]string) (map[string][]string, error) {
	type image struct {
		ID   string   `json:"id"`
		Tags []string `json:"repoTags"`
	}
	out := map[string][]string{}
	for _, node := range list {
		text, err := p.engine.exec(ctx, node, "crictl", "images", "-o", "json")
		if err != nil {
			return nil, fmt.Errorf("list the images on %s: %w", node, err)
		}
		var got struct {
			Images []image `json:"images"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			return nil, fmt.Errorf("list the images on %s: %w", node, err)
		}
		for name, id := range want {
			has := slices.ContainsFunc(got.Images, func(i image) bool {
				return i.ID == id && slices.ContainsFunc(i.Tags, func(tag string) bool {
					return tag == name || strings.HasSuffix(tag, "/"+name)
				})
			})
			if !has {
				out[node] = append(out[node], name)
			}
		}
	}
	return out, nil
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
// it would take twice the CPU time; older versions have no such service and no flag --local.
func (p *Provider) importImages(ctx context.Context, node string, archive io.Reader) error {
	script := `set -- --namespace=k8s.io images import --all-platforms --digests
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

// mirrors configures the mirrors of registries in a node's containerd.
func (p *Provider) mirrors(ctx context.Context, node string) error {
	for host, url := range p.site.Mirrors {
		file := "/etc/containerd/certs.d/" + host + "/hosts.toml"
		content := fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url)
		if _, err := p.engine.pipe(ctx, strings.NewReader(content), "exec", "-i", node, "sh", "-c",
			"mkdir -p \"$(dirname \"$0\")\" && cat > \"$0\"", file); err != nil {
			return err
		}
	}
	return nil
}
