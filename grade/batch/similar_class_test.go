package batch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/similarity"
)

// What docs/batch.md promises of --similarity.
const (
	leastRecall    = .95
	leastPrecision = .9
)

// work is a submission: the objects of each folder ("02-backend-ingress-deny", "04-allow-namespace/delete").
type work map[string][]map[string]any

func (w work) clone() work {
	data, _ := json.Marshal(w)
	var c work
	_ = json.Unmarshal(data, &c)
	return c
}

// school makes up a class: everybody has a way of writing, some of the mistakes that many make, and now and
// then one of his own. Copiers take the work of somebody with a mistake of his own, and disguise it.
type school struct {
	*rand.Rand
	solution work
	folders  []string
	mistakes []work // the solution with one of them, most frequent first
}

func newSchool(t *testing.T, seed uint64) *school {
	t.Helper()
	lab := gradetest.Open(t, gradetest.Tutorial)
	sub, err := lab.Grader.Rules.ReadFS(lab.FS, "samples/solution", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	parse := func(files map[string][]byte) work {
		w := work{}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			var o map[string]any
			if err := yaml.Unmarshal(files[name], &o); err != nil {
				t.Fatal(err)
			}
			w[path.Dir(name)] = append(w[path.Dir(name)], o)
		}
		return w
	}
	files, err := gradetest.Manifests(sub)
	if err != nil {
		t.Fatal(err)
	}
	s := &school{Rand: rand.New(rand.NewPCG(seed, 7)), solution: parse(files)}
	for folder := range s.solution {
		if !strings.Contains(folder, "/") {
			s.folders = append(s.folders, folder)
		}
	}
	slices.Sort(s.folders)
	variants, err := gradetest.Variants(lab.Lab, sub)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		s.mistakes = append(s.mistakes, parse(v.Files))
	}
	s.Shuffle(len(s.mistakes), func(i, j int) { s.mistakes[i], s.mistakes[j] = s.mistakes[j], s.mistakes[i] })
	s.mistakes = s.mistakes[:40]
	return s
}

func (s *school) chance(p float64) bool { return s.Float64() < p }

// student works alone; own says in how many folders there is a mistake that nobody is likely to have too.
func (s *school) student() (w work, own int) {
	w = s.solution.clone()
	// The most frequent mistake is made by a tenth of the class, the others by fewer and fewer.
	for i, m := range s.mistakes {
		if s.chance(.12 / math.Pow(float64(i+1), .8)) {
			for _, f := range s.folders {
				if fmt.Sprint(m[f]) != fmt.Sprint(s.solution[f]) {
					w[f] = m.clone()[f]
				}
			}
		}
	}
	for own < 3 && s.chance(.35) {
		if s.slip(w) {
			own++
		}
	}
	s.style(w)
	s.rename(w)
	return w, own
}

// style writes the same in another way, as a few do: each is right too.
func (s *school) style(w work) {
	expressions, byName, explicit := s.chance(.12), s.chance(.25), s.chance(.7)
	for _, f := range s.folders {
		for _, o := range w[f] {
			spec, ok := o["spec"].(map[string]any)
			if !ok {
				continue
			}
			if types := fmt.Sprint(spec["policyTypes"]); types == "[Ingress]" && (!explicit || s.chance(.05)) {
				delete(spec, "policyTypes")
			}
			walk(spec, func(selector map[string]any) {
				labels, ok := selector["matchLabels"].(map[string]any)
				if !ok || len(labels) == 0 {
					return
				}
				if labels["purpose"] == "monitoring" && byName {
					selector["matchLabels"] = map[string]any{"kubernetes.io/metadata.name": "monitoring"}
				} else if expressions || s.chance(.02) {
					var list []any
					for _, k := range slices.Sorted(maps.Keys(labels)) {
						list = append(list, map[string]any{"key": k, "operator": "In", "values": []any{labels[k]}})
					}
					delete(selector, "matchLabels")
					selector["matchExpressions"] = list
				}
			})
		}
	}
}

// slip makes a mistake that is one's own: a typo in a label, or some other port.
func (s *school) slip(w work) bool {
	f := s.folders[s.IntN(len(s.folders))]
	done := false
	for _, i := range s.Perm(len(w[f])) {
		walk(w[f][i]["spec"], func(m map[string]any) {
			if labels, ok := m["matchLabels"].(map[string]any); ok && !done && s.chance(.6) {
				for _, k := range slices.Sorted(maps.Keys(labels)) {
					text := fmt.Sprint(labels[k])
					at := s.IntN(len(text))
					labels[k] = text[:at] + string(rune('a'+s.IntN(26))) + string(rune('a'+s.IntN(26))) + text[at:]
					done = true
				}
			}
			if _, ok := m["port"]; ok && !done && s.chance(.6) {
				m["port"], done = 1000+s.IntN(60000), true
			}
		})
	}
	return done
}

// walk visits all objects in a value, in order.
func walk(value any, visit func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		visit(v)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(v[k], visit)
		}
	case []any:
		for i := range v {
			walk(v[i], visit)
		}
	}
}

// rename gives policies other names, everywhere the same one.
func (s *school) rename(w work) {
	words := []string{"allow", "deny", "backend", "frontend", "policy", "np", "ingress", "egress", "my", "task", "net", "default"}
	names := map[string]string{}
	for _, f := range slices.Sorted(maps.Keys(w)) {
		for _, o := range w[f] {
			if o["kind"] == "Namespace" {
				continue
			}
			meta := o["metadata"].(map[string]any)
			old := meta["name"].(string)
			if names[old] == "" {
				names[old] = fmt.Sprintf("%s-%s", words[s.IntN(len(words))], words[s.IntN(len(words))])
				for slices.Contains(slices.Collect(maps.Values(names)), names[old]+"-x") {
					names[old] += "x"
				}
				names[old] += fmt.Sprintf("-%d", s.IntN(4))
				for n := range names {
					if n != old && names[n] == names[old] {
						names[old] += "b"
					}
				}
			}
			meta["name"] = names[old]
		}
	}
}

// disguise is what a copier does to a work that is not his: some of it, at random.
func (s *school) disguise(w work) work {
	w = w.clone()
	s.rename(w)
	if s.chance(.5) {
		s.split(w)
	} else if s.chance(.5) {
		s.merge(w)
	}
	for _, f := range s.folders {
		s.Shuffle(len(w[f]), func(i, j int) { w[f][i], w[f][j] = w[f][j], w[f][i] })
		walk(map[string]any{"": toList(w[f])}, func(m map[string]any) {
			for k := range m {
				if list, ok := m[k].([]any); ok {
					s.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				}
			}
		})
	}
	return w
}

func toList(objects []map[string]any) []any {
	var list []any
	for _, o := range objects {
		list = append(list, o)
	}
	return list
}

// split makes several policies of one: a policy for each peer, or for each direction.
func (s *school) split(w work) {
	for _, f := range s.folders {
		var out []map[string]any
		for _, o := range w[f] {
			spec, _ := o["spec"].(map[string]any)
			rules, _ := spec["ingress"].([]any)
			if o["kind"] != "NetworkPolicy" || len(rules) == 0 || spec["egress"] != nil || fmt.Sprint(spec["policyTypes"]) == "[Ingress Egress]" {
				out = append(out, o)
				continue
			}
			n := 0
			for _, r := range rules {
				rule := r.(map[string]any)
				peers, _ := rule["from"].([]any)
				if len(peers) == 0 {
					peers = []any{nil}
				}
				for _, peer := range peers {
					one := work{"": {o}}.clone()[""][0]
					part := maps.Clone(rule)
					if peer != nil {
						part["from"] = []any{peer}
					}
					one["spec"].(map[string]any)["ingress"] = []any{part}
					if n++; n > 1 {
						one["metadata"].(map[string]any)["name"] = fmt.Sprintf("%v-%d", one["metadata"].(map[string]any)["name"], n)
					}
					out = append(out, one)
				}
			}
		}
		w[f] = out
	}
}

// merge makes one policy of those of a folder that are for the same pods.
func (s *school) merge(w work) {
	for _, f := range s.folders {
		var out []map[string]any
		for _, o := range w[f] {
			spec, _ := o["spec"].(map[string]any)
			at := slices.IndexFunc(out, func(p map[string]any) bool {
				ps, _ := p["spec"].(map[string]any)
				return o["kind"] == "NetworkPolicy" && p["kind"] == o["kind"] && fmt.Sprint(ps["podSelector"]) == fmt.Sprint(spec["podSelector"]) &&
					fmt.Sprint(ps["policyTypes"]) == fmt.Sprint(spec["policyTypes"])
			})
			if at < 0 {
				out = append(out, o)
				continue
			}
			into := out[at]["spec"].(map[string]any)
			for _, direction := range []string{"ingress", "egress"} {
				a, _ := into[direction].([]any)
				b, _ := spec[direction].([]any)
				if len(a)+len(b) > 0 {
					into[direction] = append(a, b...)
				}
			}
		}
		w[f] = out
	}
}

func (s *school) write(t *testing.T, dir string, w work) {
	t.Helper()
	for folder, objects := range w {
		for i, o := range objects {
			data, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, filepath.FromSlash(folder), fmt.Sprintf("%c%d.yaml", 'a'+rune(s.IntN(26)), i))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, fmt.Appendf(nil, "# %d\n%s", s.Int(), data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSimilarityFindsCopies plants copies in classes that are made up, and counts who is found, and who is
// accused for nothing.
func TestSimilarityFindsCopies(t *testing.T) {
	t.Parallel()
	for _, class := range []struct{ students, copies int }{{500, 50}, {120, 12}} {
		t.Run(fmt.Sprint(class.students), func(t *testing.T) {
			t.Parallel()
			s := newSchool(t, uint64(class.students))
			dir := t.TempDir()
			var honest []work
			var originals []int // with a mistake of their own
			for i := range class.students - class.copies {
				w, own := s.student()
				honest = append(honest, w)
				if own > 0 {
					originals = append(originals, i)
				}
				s.write(t, filepath.Join(dir, fmt.Sprintf("s%04d", i)), w)
			}
			family := map[string]string{} // by ID: the original
			for i := range class.copies {
				from := originals[s.IntN(len(originals))]
				w := s.disguise(honest[from])
				if i%5 < 2 {
					s.slip(w) // and a mistake of the copier's own
				}
				id, original := fmt.Sprintf("s%04d", class.students-class.copies+i), fmt.Sprintf("s%04d", from)
				family[id], family[original] = original, original
				s.write(t, filepath.Join(dir, id), w)
			}
			cfg := gradetest.Config(t, gradetest.Tutorial)
			if out := os.Getenv("SIMILARITY_OUT"); out != "" { // to look at
				cfg.Out = filepath.Join(out, fmt.Sprint(class.students))
				data, _ := json.Marshal(family)
				_ = os.MkdirAll(cfg.Out, 0o755)
				_ = os.WriteFile(filepath.Join(out, fmt.Sprint(class.students)+".json"), data, 0o600)
			}
			cfg.Similarity, cfg.NoReports = true, true
			gradetest.Run(t, cfg, dir)
			var found similarity.Report
			data, err := os.ReadFile(filepath.Join(cfg.Out, "similarity.json"))
			if err == nil {
				err = json.Unmarshal(data, &found)
			}
			if err != nil {
				t.Fatal(err)
			}
			caught, right := map[string]bool{}, 0
			for _, p := range found.Pairs {
				if family[p.A] != "" && family[p.A] == family[p.B] {
					right++
					caught[p.A], caught[p.B] = true, true
				} else if testing.Verbose() {
					t.Logf("wrong: %+v", p)
				}
			}
			recall, precision := 0, float64(right)/float64(max(len(found.Pairs), 1))
			for id, original := range family {
				if id != original && caught[id] {
					recall++
				} else if id != original && testing.Verbose() {
					t.Logf("missed: %s from %s", id, original)
				}
			}
			share := float64(recall) / float64(class.copies)
			t.Logf("%d students, %d copies: recall %.3f, precision %.3f (%d pairs)", class.students, class.copies, share, precision, len(found.Pairs))
			if share < leastRecall || precision < leastPrecision {
				t.Errorf("recall %.3f and precision %.3f are below %v and %v", share, precision, leastRecall, leastPrecision)
			}
		})
	}
}
