package jobs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
)

// A segment is a part of a shard's journal with the files of its students: a tar archive, compressed with
// zstd. Object storage cannot append, so a worker writes one after another; none is ever changed. Each line
// of the journal has its own checksum, the whole has zstd's. How many results it has is in its name, so that
// a listing tells how far the run is.
type segment struct {
	key     string
	shard   int
	number  int
	results int
	errors  int // among the results
}

// The name is number, writer, results and errors. The writer tells two workers of one shard apart: one may
// still live on a node that is cut off while the other has taken its place. What both have graded is the
// same.
var segmentName = regexp.MustCompile(`^(\d{6})-([0-9a-f]{8})-(\d+)-(\d+)\.tar\.zst$`)

func (r *Run) shardKey(shard int) string { return r.key(shardsDir, fmt.Sprintf("%06d", shard)) }

// segments lists the segments of a shard, or with -1 of all, in the order of their names.
func (r *Run) segments(ctx context.Context, shard int) iter.Seq2[segment, error] {
	prefix := r.key(shardsDir) + "/"
	if shard >= 0 {
		prefix = r.shardKey(shard) + "/"
	}
	return func(yield func(segment, error) bool) {
		for o, err := range r.to.List(ctx, prefix, true) {
			if err != nil {
				yield(segment{}, err)
				return
			}
			m := segmentName.FindStringSubmatch(path.Base(o.Key))
			if m == nil {
				continue // such as what a writer on a shared volume had not finished
			}
			s := segment{key: o.Key}
			s.shard, _ = strconv.Atoi(path.Base(path.Dir(o.Key)))
			s.number, _ = strconv.Atoi(m[1])
			s.results, _ = strconv.Atoi(m[3])
			s.errors, _ = strconv.Atoi(m[4])
			if !yield(s, nil) {
				return
			}
		}
	}
}

// journalName is the first file of a segment.
const journalName = batch.JournalFile

// packSegment makes a segment of a part of a journal and the files of its students, which are in the directory out.
func packSegment(out string, journal []byte) (data []byte, results, failed int, err error) {
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, 0, 0, err
	}
	w := tar.NewWriter(z)
	add := func(name string, content []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644, Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write(content)
		}
		return err
	}
	if err := add(journalName, journal); err != nil {
		return nil, 0, 0, err
	}
	for rec, err := range batch.Records(bytes.NewReader(journal)) {
		if err != nil {
			return nil, 0, 0, err
		}
		results++
		if rec.Errored {
			failed++
		}
		entry := intake.Entry{ID: rec.ID, Attempt: rec.Attempt}
		dir := filepath.Join(out, filepath.FromSlash(batch.DirOf(&entry)))
		files, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, 0, err
		}
		for _, f := range files {
			if !f.Type().IsRegular() {
				continue // attempts have their own turn
			}
			content, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err == nil {
				err = add(path.Join(batch.DirOf(&entry), f.Name()), content)
			}
			if err != nil {
				return nil, 0, 0, err
			}
		}
	}
	err = errors.Join(w.Close(), z.Close())
	return buf.Bytes(), results, failed, err
}

// readSegment hands on the journal of a segment and then its files. What is damaged is an error.
func readSegment(ctx context.Context, from *storage.Store, key string, journal func([]byte) error,
	file func(name string, r io.Reader) error) error {
	r, err := from.Stream(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	defer z.Close()
	t := tar.NewReader(z)
	for first := true; ; first = false {
		h, err := t.Next()
		if errors.Is(err, io.EOF) && !first {
			// What is behind the archive belongs to it: the checksum.
			if _, err := io.Copy(io.Discard, z); err != nil {
				return fmt.Errorf("read %s: %w", key, err)
			}
			return nil
		}
		if err == nil && first != (h.Name == journalName) {
			err = errors.New("it is not a segment")
		}
		if err == nil && first {
			var data []byte
			if data, err = io.ReadAll(t); err == nil {
				err = journal(data)
			}
		} else if err == nil {
			err = file(h.Name, t)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
	}
}

// studentFile says whether a name is that of a student's file: a worker has no business elsewhere.
func studentFile(name string) bool {
	return fs.ValidPath(name) && strings.HasPrefix(name, "students/") && strings.Count(name, "/") >= 2
}
