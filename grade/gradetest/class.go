package gradetest

import (
	"archive/zip"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
)

// Class is a class that is made up: submissions as students hand them in, from a lab's solution and the mistakes that can be
// made in it. The same seed gives the same class. Where any submissions will do, Samples makes them faster.
type Class struct {
	Grader   *grade.Grader // of the lab
	Students int
	Seed     uint64
	// Distinct leaves out copies: every submission is another.
	Distinct bool
	// Due is when the list says that it was due; some are late. Zero: there is no list.
	Due time.Time
}

// ListFile is the list of a class that has one.
const ListFile = "class.csv"

// Write puts the class into a directory: a .zip a student, for one in ten a folder. It holds one submission at a time.
func (c *Class) Write(dir string) (err error) {
	made, err := c.answers()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var list *csv.Writer
	if !c.Due.IsZero() {
		file, err := os.Create(filepath.Join(dir, ListFile))
		if err != nil {
			return err
		}
		list = csv.NewWriter(file)
		defer func() { list.Flush(); err = errors.Join(err, list.Error(), file.Close()) }()
		if err := list.Write([]string{"student_id", "path", "submitted_at", "due_at"}); err != nil {
			return err
		}
	}
	for i := range c.Students {
		random := rand.New(rand.NewPCG(c.Seed, uint64(i)))
		id := fmt.Sprintf("student-%06d", i)
		path := id
		files := made.submission(random, i, c.Distinct)
		if random.IntN(10) == 0 {
			err = writeFiles(filepath.Join(dir, path), files)
		} else {
			path += ".zip"
			data, packErr := pack(files, zip.Store) // they are small: packing takes most of the time
			err = errors.Join(packErr, os.WriteFile(filepath.Join(dir, path), data, 0o644))
		}
		if err == nil && list != nil {
			at := c.Due.Add(-time.Duration(random.IntN(72*60)) * time.Minute)
			if random.IntN(12) == 0 {
				at = c.Due.Add(time.Duration(random.IntN(72*60)) * time.Minute)
			}
			err = list.Write([]string{id, path, at.Format(time.RFC3339), c.Due.Format(time.RFC3339)})
		}
		if err != nil {
			return fmt.Errorf("make the submission of %s: %w", id, err)
		}
	}
	return nil
}

// answers are what students hand in, but for what is each one's own.
type answers struct {
	right   []map[string][]byte
	wrong   []map[string][]byte
	refused []map[string][]byte
}

func (c *Class) answers() (*answers, error) {
	lab := c.Grader.Lab()
	made := &answers{}
	for _, s := range lab.Samples {
		sub, err := c.Grader.Rules.ReadFS(lab.FS, s.Path, manifest.Limits{})
		if refused := (*engine.Refused)(nil); errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files, err := Manifests(sub)
		if err != nil {
			return nil, err
		}
		if !s.Solution {
			made.wrong = append(made.wrong, files)
			continue
		}
		made.right = append(made.right, files)
		variants, err := Variants(lab, sub)
		if err != nil {
			return nil, err
		}
		for _, v := range variants {
			made.wrong = append(made.wrong, v.Files)
		}
	}
	if len(made.right) == 0 || len(made.wrong) == 0 {
		return nil, fmt.Errorf("lab %q has no solution that could be changed", lab.Name)
	}
	first := made.right[0]
	name := slices.Sorted(maps.Keys(first))[0]
	for _, text := range []string{"kind: [\n", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podselector: {}}\n"} {
		broken := maps.Clone(first)
		broken[name] = []byte(text)
		made.refused = append(made.refused, broken)
	}
	return made, nil
}

// submission makes a student's: of a hundred, some 38 right, 50 wrong, 8 unfinished and 4 refused. A fifth is a copy of
// what others have.
func (a *answers) submission(random *rand.Rand, student int, distinct bool) map[string][]byte {
	pick := func(from []map[string][]byte) map[string][]byte { return from[random.IntN(len(from))] }
	var files map[string][]byte
	switch kind := random.IntN(100); {
	case kind < 38:
		files = pick(a.right)
	case kind < 88:
		files = pick(a.wrong)
	case kind < 96:
		files = maps.Clone(pick(a.wrong))
		names := slices.Sorted(maps.Keys(files))
		for _, name := range names[random.IntN(len(names)+1):] {
			delete(files, name)
		}
	default:
		files = pick(a.refused)
	}
	if !distinct && random.IntN(5) == 0 {
		return files
	}
	files = maps.Clone(files)
	if len(files) == 0 {
		files["notes.yaml"] = nil
	}
	for name, text := range files {
		files[name] = fmt.Appendf(nil, "# %s, student %d\n%s", name, student, text)
	}
	return files
}
