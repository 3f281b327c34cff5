package similarity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
)

// student makes a submission with an answer to each task: "right-…" has its points, anything else lost them.
func student(id string, answers map[string]string) *Submission {
	r := &Submission{ID: id, Digest: "sha256:" + id, LostPoints: map[string]bool{}}
	for task := range 10 {
		name := fmt.Sprintf("task-%d", task)
		answer, ok := answers[name]
		if !ok {
			answer = "right-everybody"
		}
		if !strings.HasPrefix(answer, "right-") {
			r.LostPoints[name] = true
		}
		r.Answers = append(r.Answers, Answer{Task: name, Digest: answer, Parts: []string{"rule of " + answer}, Names: []string{"allow"}})
	}
	return r
}

func compare(known *Known, results ...*Submission) *Report {
	c := NewComparison(known)
	for _, r := range results {
		c.Add(r)
	}
	return c.Report(grade.LabReport{})
}

// crowd is a class in which some make the classic mistakes, each for himself.
func crowd(n int) []*Submission {
	var all []*Submission
	for i := range n {
		answers := map[string]string{}
		if i%3 == 0 {
			answers["task-3"] = fmt.Sprintf("classic-%d", i%2)
		}
		all = append(all, student(fmt.Sprintf("s%05d", i), answers))
	}
	return all
}

func TestSimilarity(t *testing.T) {
	t.Parallel()
	copied := map[string]string{"task-1": "odd", "task-4": "odd-too", "task-5": "right-but-odd"}
	equal := student("twin", nil)
	equal.Digest = "sha256:s00000"
	given := student("starter-only", map[string]string{"task-1": "starter"})
	again := student("starter-too", map[string]string{"task-1": "starter"})
	given.Digest, again.Digest = "sha256:starter", "sha256:starter"
	mistaken, alike := student("mistaken", map[string]string{"task-1": "own-1"}), student("alike", map[string]string{"task-1": "own-2"})
	mistaken.Mistakes, alike.Mistakes = []string{"rare-a", "rare-b", "rare-c", "rare-d", "rare-e", "rare-f"}, []string{"rare-f", "rare-e", "rare-d", "rare-c", "rare-b", "rare-a"}

	results := append(crowd(60), student("copy", copied), student("original", copied), equal, given, again, mistaken, alike)
	known := &Known{Given: []Answer{{Task: "task-1", Digest: "starter", Parts: []string{"rule of starter"}}}, Digests: []string{"sha256:starter"}}
	s := compare(known, results...)
	if len(s.Groups) != 1 || !slices.Equal(s.Groups[0].Students, []string{"s00000", "twin"}) {
		t.Errorf("equal files: %+v", s.Groups)
	}
	var got []string
	for _, p := range s.Pairs {
		got = append(got, p.A+"+"+p.B)
	}
	if want := []string{"copy+original", "mistaken+alike"}; !slices.Equal(got, want) {
		t.Fatalf("pairs are %q, want %q", got, want)
	}
	p := s.Pairs[0]
	if !slices.Equal(p.Answers, []string{"task-1", "task-4", "task-5"}) || !slices.Equal(p.Wrong, []string{"task-1", "task-4"}) || len(p.Reasons) != 2 {
		t.Errorf("got %+v", p)
	}
	if len(s.Pairs[1].Mistakes) != 6 {
		t.Errorf("got %+v", s.Pairs[1])
	}
}

func TestWhatManyShareIsNoPair(t *testing.T) {
	t.Parallel()
	if s := compare(&Known{}, crowd(60)...); len(s.Pairs)+len(s.Groups) > 0 {
		t.Errorf("independent students are alike: %+v", s)
	}
	if s := compare(&Known{}); len(s.Pairs)+len(s.Groups) > 0 || s.Pairs == nil || s.Groups == nil {
		t.Errorf("nobody is like nobody: %+v", s)
	}
}

// TestSimilarityOfManyStudents would take hours if everybody were held against everybody.
func TestSimilarityOfManyStudents(t *testing.T) {
	t.Parallel()
	results := crowd(20000)
	for i := range results {
		// Everybody has an oddity in common with one other, and an answer of everybody's.
		results[i].Answers[6].Digest = fmt.Sprintf("odd-%d", i/2)
		results[i].LostPoints["task-6"] = true
		results[i].Answers[7].Digest = fmt.Sprintf("odd-%d", i/2)
		results[i].LostPoints["task-7"] = true
	}
	s := compare(&Known{}, results...)
	if len(s.Pairs) != maxPairs || len(s.Clusters) != maxPairs {
		t.Errorf("%d pairs, %d clusters", len(s.Pairs), len(s.Clusters))
	}
	for _, p := range s.Pairs {
		var a, b int
		if _, err := fmt.Sscanf(p.A+" "+p.B, "s%d s%d", &a, &b); err != nil || a%2 != 0 || b != a+1 {
			t.Fatalf("%+v have nothing in common", p)
		}
	}
}
