//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// envSamples = all grades every sample of the lab; without it a few that differ in what they do.
const envSamples = "LABCTL_E2E_SAMPLES"

var someSamples = []string{"solution", "and-or-peers", "dns-label-missing", "service-ip"}

// samples grades the lab's own samples with both engines, checkpoint by checkpoint: the same verdict for every
// connection, and so the same score.
func (s *suite) samples(t *testing.T) {
	s.lab(t)
	dir := filepath.Join("..", "..", "..", "labs", "networkpolicy")
	lab, diags := labs.Load(os.DirFS(dir), "networkpolicy", labs.LoadOptions{})
	if lab == nil {
		t.Fatal(diags.Err())
	}
	starter := labs.Sample{Name: "starter", Path: lab.Starter}
	graded := 0
	var took time.Duration
	for _, sample := range append([]labs.Sample{starter}, lab.Samples...) {
		if all := os.Getenv(envSamples) == "all"; !all && !slices.Contains(someSamples, sample.Name) || sample.Path == "" {
			continue
		}
		graded++
		t.Run(sample.Name, func(t *testing.T) {
			path := filepath.Join(dir, sample.Path)
			grading := func(args ...string) (*grade.Report, *result) {
				r := s.start(t, append([]string{"grade", "networkpolicy", "--submission", path, "-o", "json", "--reveal"}, args...)...).wait(t, 5*time.Minute)
				rep := new(grade.Report)
				if r.code != 4 {
					r.json(t, rep)
				}
				return rep, r
			}
			want, offline := grading("--offline")
			got, both := grading("--engine", "both", "--name", s.name)
			took += both.took
			if both.code != offline.code {
				t.Errorf("exit code %d with both engines, %d offline: %s", both.code, offline.code, both.stderr)
			}
			t.Logf("%.1f s, %v of %v points, exit code %d", both.took.Seconds(), got.Score.Points, got.Score.Max, both.code)
			for _, d := range got.Disagreements {
				t.Errorf("the engines disagree: %s", d)
			}
			if got.Score != want.Score {
				t.Errorf("score %+v, offline %+v", got.Score, want.Score)
			}
			compareChecks(t, want, got)
		})
	}
	t.Logf("%d samples in %s", graded, took.Round(time.Second))
	if graded == 0 {
		t.Error("no sample was graded")
	}
}

// compareChecks holds the verdict of every check of two reports against each other.
func compareChecks(t *testing.T, want, got *grade.Report) {
	t.Helper()
	verdicts := func(r *grade.Report) (keys []string, all map[string]string) {
		all = map[string]string{}
		for i := range r.Tasks {
			for j := range r.Tasks[i].Objectives {
				o := &r.Tasks[i].Objectives[j]
				for k, c := range o.Checks {
					key := fmt.Sprintf("%s/%s check %d", r.Tasks[i].Name, o.Name, k)
					if c.Kind != grade.CheckInvariant { // what breaks an invariant is an example of many
						key += fmt.Sprintf(" (%s → %s)", c.From, c.To)
					}
					keys = append(keys, key)
					all[key] = fmt.Sprintf("%s, passed %v, %s %s", c.Verdict, c.Passed, o.Status, c.Error)
				}
			}
		}
		return keys, all
	}
	keys, wanted := verdicts(want)
	others, found := verdicts(got)
	if !slices.Equal(keys, others) {
		t.Errorf("other checks than offline: %v, offline %v", others, keys)
	}
	for _, key := range keys {
		if wanted[key] != found[key] {
			t.Errorf("%s: %s; offline %s", key, found[key], wanted[key])
		}
	}
}
