// Package jobs grades a class on many machines: a plan says which submissions belong to which shard, workers
// grade a shard each and keep what they have in object storage, and Collect makes of it the same files as a
// run on one machine. Kubernetes starts the workers, as an Indexed Job.
package jobs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// FormatVersion is the version of the plan and of what workers write.
const FormatVersion = 1

// Plan is what all workers of a run agree on: plan.json. It has no secrets.
type Plan struct {
	FormatVersion int               `json:"format_version"`
	Tool          string            `json:"tool"` // labctl's version; workers have to be the same
	Key           string            `json:"key"`  // batch.Config.Key
	Lab           PlanLab           `json:"lab"`
	Semantics     policy.Semantics  `json:"semantics"`
	Config        batch.Config      `json:"config"`
	Source        string            `json:"source"`  // URL of the submissions
	Shards        []int             `json:"shards"`  // how many entries each has
	Entries       map[string]string `json:"entries"` // digest of each object with entries, by name
}

// PlanLab says how to load the lab, whose files are in lab.tar.zst.
type PlanLab struct {
	Name     string            `json:"name"`
	Dir      string            `json:"dir"`
	Digest   string            `json:"digest"`
	Vars     map[string]string `json:"vars"`
	VarFiles []string          `json:"var_files"` // names in the archive
	Release  string            `json:"release"`   // that required_version is held against
}

// Total is how many entries there are.
func (p *Plan) Total() int {
	n := 0
	for _, shard := range p.Shards {
		n += shard
	}
	return n
}

// The objects of a destination. A run has a folder of its own, which is named by what it depends on: another
// lab, option or list of submissions is another run, and what the earlier one has left is never mixed with
// it.
const (
	latestFile = "latest.json"
	runsDir    = "runs"
	planFile   = "plan.json"
	labFile    = "lab.tar.zst"
	entriesDir = "entries"
	shardsDir  = "shards"

	labDir  = "lab"
	varsDir = "vars"
)

// Run is a run in a destination.
type Run struct {
	ID   string
	Plan *Plan

	to *storage.Store
}

func (r *Run) key(parts ...string) string {
	return path.Join(append([]string{runsDir, r.ID}, parts...)...)
}

func entriesName(shard int) string { return fmt.Sprintf("%06d.jsonl.zst", shard) }

// MaxShard is how many submissions a shard has at most, unless it is said how many shards there are. It
// bounds a worker's disk: some 300 KB of reports a submission.
const MaxShard = 2000

// Request says what a plan is made of.
type Request struct {
	Config    batch.Config // Grader and Tool are needed
	Options   labs.LoadOptions
	Semantics policy.Semantics
	Source    string
	Entries   []intake.Entry
	Shards    int // 0: as many as it takes
}

// Submit writes the plan of a run to a destination, or finds that it is there already.
func Submit(ctx context.Context, to *storage.Store, s Request) (_ *Run, resumed bool, err error) {
	lab := s.Config.Grader.Lab()
	plan := &Plan{
		FormatVersion: FormatVersion, Tool: s.Config.Tool, Key: s.Config.Key(), Semantics: s.Semantics,
		Config: s.Config, Source: s.Source,
		Lab: PlanLab{Name: lab.Name, Dir: lab.Dir, Digest: lab.Digest, Vars: s.Options.Vars, VarFiles: []string{},
			Release: s.Options.ToolVersion},
		Entries: map[string]string{},
	}
	shards := s.Shards
	if shards <= 0 {
		shards = (len(s.Entries) + MaxShard - 1) / MaxShard
	}
	shards = max(min(shards, len(s.Entries)), 1)
	lists := make([][]byte, shards)
	for i := range lists {
		part := s.Entries[i*len(s.Entries)/shards : (i+1)*len(s.Entries)/shards]
		plan.Shards = append(plan.Shards, len(part))
		if lists[i], err = packEntries(part); err != nil {
			return nil, false, err
		}
		plan.Entries[entriesName(i)] = digest(lists[i])
	}
	files, err := packLab(plan, lab, s.Options.VarFiles)
	if err != nil {
		return nil, false, err
	}
	data, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return nil, false, fmt.Errorf("write the plan: %w", err)
	}
	sum := sha256.Sum256(data)
	r := &Run{ID: hex.EncodeToString(sum[:6]), Plan: plan, to: to}
	if resumed, err = to.Exists(ctx, r.key(planFile)); err != nil {
		return nil, false, err
	}
	if !resumed {
		// The plan comes last: where it is, everything is.
		for i, list := range lists {
			if err := to.Write(ctx, r.key(entriesDir, entriesName(i)), list); err != nil {
				return nil, false, err
			}
		}
		if err := errors.Join(to.Write(ctx, r.key(labFile), files), to.Write(ctx, r.key(planFile), data)); err != nil {
			return nil, false, err
		}
	}
	latest, err := json.Marshal(latest{FormatVersion, r.ID})
	if err != nil {
		return nil, false, err
	}
	return r, resumed, to.Write(ctx, latestFile, latest)
}

// latest names the run that was submitted last.
type latest struct {
	FormatVersion int    `json:"format_version"`
	Run           string `json:"run"`
}

// maxPlan bounds what is read of a destination at once, in bytes.
const maxPlan = 1 << 30

// Find reads the plan of a run; an empty id is the one that was submitted last.
func Find(ctx context.Context, to *storage.Store, id string) (*Run, error) {
	if id == "" {
		var l latest
		if err := readJSON(ctx, to, latestFile, &l); err != nil {
			if storage.IsNotFound(err) {
				return nil, fmt.Errorf("nothing was submitted to %s: %w", to.Name(), err)
			}
			return nil, err
		}
		id = l.Run
	}
	r := &Run{ID: id, Plan: new(Plan), to: to}
	if err := readJSON(ctx, to, r.key(planFile), r.Plan); err != nil {
		return nil, err
	}
	if r.Plan.FormatVersion != FormatVersion {
		return nil, fmt.Errorf("the run %s in %s was submitted by another version of labctl, %s: use that one", id,
			to.Name(), r.Plan.Tool)
	}
	return r, nil
}

func readJSON(ctx context.Context, from *storage.Store, key string, v any) error {
	data, err := from.Read(ctx, key, maxPlan)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s/%s: %w", from.Name(), key, err)
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func packEntries(entries []intake.Entry) ([]byte, error) {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range entries {
		if err := enc.Encode(&entries[i]); err != nil {
			return nil, fmt.Errorf("write the list of submissions: %w", err)
		}
	}
	return compress(lines.Bytes())
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// Entries reads the submissions of a shard.
func (r *Run) Entries(ctx context.Context, shard int) ([]intake.Entry, error) {
	name := entriesName(shard)
	data, err := r.to.Read(ctx, r.key(entriesDir, name), maxPlan)
	if err != nil {
		return nil, err
	}
	if digest(data) != r.Plan.Entries[name] {
		return nil, fmt.Errorf("%s/%s differs from the plan: submit again, to another destination", r.to.Name(),
			r.key(entriesDir, name))
	}
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var entries []intake.Entry
	for dec := json.NewDecoder(z); ; {
		var e intake.Entry
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the submissions of shard %d: %w", shard, err)
		}
		entries = append(entries, e)
	}
}

// packLab puts the lab's files and the files of variables into an archive, the latter under other names,
// which go into the plan.
func packLab(plan *Plan, lab *labs.Lab, varFiles []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name string, data []byte) error {
		// No times and owners: the same lab is the same run.
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o444, Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	err := fs.WalkDir(lab.FS, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			return err
		}
		return add(path.Join(labDir, name), data)
	})
	for i, file := range varFiles {
		if err != nil {
			break
		}
		var data []byte
		if data, err = os.ReadFile(file); err == nil {
			name := fmt.Sprintf("%d-%s", i, filepath.Base(file))
			plan.Lab.VarFiles = append(plan.Lab.VarFiles, name)
			err = add(path.Join(varsDir, name), data)
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pack the lab: %w", err)
	}
	return compress(out.Bytes())
}

// Load makes ready what the plan says to grade with. tool is the version of this program, which has to be the plan's.
func (r *Run) Load(ctx context.Context, tool string) (batch.Config, error) {
	cfg := r.Plan.Config
	if tool != r.Plan.Tool {
		return cfg, fmt.Errorf("the run %s was submitted by labctl %s, and this is %s: use the same", r.ID,
			r.Plan.Tool, tool)
	}
	data, err := r.to.Read(ctx, r.key(labFile), maxPlan)
	if err != nil {
		return cfg, err
	}
	lab, err := unpackLab(&r.Plan.Lab, data)
	if err != nil {
		return cfg, err
	}
	if lab.Digest != r.Plan.Lab.Digest {
		return cfg, fmt.Errorf("the lab of the run %s differs from the plan", r.ID)
	}
	if cfg.Grader, err = grade.NewGrader(lab); err != nil {
		return cfg, err
	}
	if cfg.Engine, err = offline.New(lab, policy.Config{Semantics: r.Plan.Semantics}); err != nil {
		return cfg, err
	}
	cfg.Tool = tool
	if cfg.Key() != r.Plan.Key {
		return cfg, fmt.Errorf("this labctl reads the plan of the run %s differently: submit, grade and collect "+
			"with the same version", r.ID)
	}
	return cfg, nil
}

func unpackLab(p *PlanLab, data []byte) (*labs.Lab, error) {
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpack the lab: %w", err)
	}
	defer z.Close()
	files := fstest.MapFS{}
	opts := labs.LoadOptions{Vars: p.Vars, ToolVersion: p.Release}
	dir, err := os.MkdirTemp("", "labctl-vars-*")
	if err != nil {
		return nil, fmt.Errorf("unpack the lab: %w", err)
	}
	defer os.RemoveAll(dir)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("unpack the lab: %w", err)
		}
		content, err := io.ReadAll(r)
		folder, name, _ := strings.Cut(h.Name, "/")
		if err == nil && folder == varsDir {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack the lab: %w", err)
		}
		if folder == labDir {
			files[name] = &fstest.MapFile{Data: content, Mode: 0o444, ModTime: time.Time{}}
		}
	}
	for _, name := range p.VarFiles {
		opts.VarFiles = append(opts.VarFiles, filepath.Join(dir, name))
	}
	lab, diags := labs.Load(files, p.Dir, opts)
	if diags.HasErrors() {
		return nil, fmt.Errorf("load the lab %s: %w", p.Name, diags.Err())
	}
	return lab, nil
}
