package batch_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/gradetest"
)

func all(parts ...map[string]string) map[string]string {
	files := map[string]string{}
	for _, p := range parts {
		maps.Copy(files, p)
	}
	return files
}

// gradescopeExport is made up after exports of programming assignments.
const gradescopeExport = `---
submission_101:
  :submitters:
  - :name: Ada Lovelace
    :sid: '4711'
    :email: ada@example.org
  :created_at: 2026-11-20 17:59:51.398233000 Z
  :score: 0.0
  :status: processed
  :results: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    tests: []
  :history:
  - :id: 99
    :created_at: 2026-11-19 09:12:00.000000000 Z
    :score: 0.0
submission_102:
  :submitters:
  - :name: Grace Hopper
    :sid:
    :email: grace@example.org
  - :name: Hopper's partner
    :sid: '4713'
    :email:
  :created_at: 2026-11-21 10:00:00.000000000 -08:00
submission_103:
  :submitters:
  - :name: Nobody's Folder
    :sid: '4714'
  :created_at: 2026-11-20 12:00:00.000000000 Z
`

// What the platforms let one download gives the students, their scores and the times, as a folder and as the .zip.
func TestDownloads(t *testing.T) {
	t.Parallel()
	answers := gradetest.Zip(t, gradetest.Sample(t, "solution", "answers/"))
	page := func(body string) string {
		return "<!DOCTYPE html>\n<html><head><title>x: y</title><style>p { a: b }</style></head><body>" + body + "</body></html>\n"
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string // ID, name, email, percent or status, message
	}{
		{"Gradescope", all(
			gradetest.Sample(t, "solution", "assignment_8_export/submission_101/"), gradetest.Sample(t, "nothing-handed-in", "assignment_8_export/submission_102/"),
			map[string]string{
				"assignment_8_export/submission_metadata.yml": gradescopeExport, "assignment_8_export/.DS_Store": "x",
				"assignment_8_export/submission_104/x.yaml": "# whose?", "assignment_8_export/submission_102/README.txt": "x",
				"__MACOSX/assignment_8_export/._submission_metadata.yml": "x",
			}), []string{
			"4711 Ada Lovelace <ada@example.org> 100 at 2026-11-20T17:59:51Z",
			"4713 Hopper's partner <> 0: there is no manifest in it (*.yaml, *.yml, *.json) at 2026-11-21T18:00:00Z",
			"4714 Nobody's Folder <> error: the export has no submission_103, which submission_metadata.yml names",
			"grace@example.org Grace Hopper <grace@example.org> 0: there is no manifest in it (*.yaml, *.yml, *.json) at 2026-11-21T18:00:00Z",
			"submission_104  <> error: nobody's: it is not in submission_metadata.yml",
		}},
		{"Moodle in folders", all(
			gradetest.Sample(t, "solution", "Ada Lovelace_4711_assignsubmission_file_/"), map[string]string{
				"Gruppe B-Grace Hopper_4712_assignsubmission_file/answers.zip":             answers,
				"Gruppe B-Grace Hopper_4712_assignsubmission_onlinetext/onlinetext.html":   page("<p>see the archive</p>"),
				"Participant_4713_assignsubmission_file_/essay.pdf":                        "%PDF",
				"Zoë O'Neill-Smith_4714_assignsubmission_onlinetext_/onlinetext.html":      page("<p>kind: Secret</p>"),
				"Two Archives_4715_assignsubmission_file_/a.zip":                           answers,
				"Two Archives_4715_assignsubmission_file_/b.zip":                           answers,
				"Deep Folders_4716_assignsubmission_file_/my answers/02-nonsense/a.yaml":   "x: y",
				"Deep Folders_4716_assignsubmission_file_/my answers/02-nonsense/z.sqlite": "x",
			}), []string{
			"4711 Ada Lovelace <> 100", "4712 Gruppe B-Grace Hopper <> 100",
			"4713 Participant <> 0: there is no manifest in it (*.yaml, *.yml, *.json)",
			"4714 Zoë O'Neill-Smith <> refused: typed.yaml",
			"4715 Two Archives <> error: there are several archives, and nobody can know which one counts: a.zip, b.zip",
			"4716 Deep Folders <> refused: my answers/02-nonsense/a.yaml:1",
		}},
		{"Moodle without folders", map[string]string{
			"Ada Lovelace_4711_assignsubmission_file_answers.zip":    answers,
			"Grace Hopper_4712_assignsubmission_file_notes.pdf":      "%PDF",
			"Grace Hopper_4712_assignsubmission_file_answers_v2.zip": answers,
			"Eve_4713_assignsubmission_onlinetext_onlinetext.html":   page("<p>kind: Secret</p>"),
			"grades.txt": "x",
		}, []string{"4711 Ada Lovelace <> 100", "4712 Grace Hopper <> 100", "4713 Eve <> refused: typed.yaml"}},
		{"Canvas", map[string]string{
			"lovelaceada_4711_900001_answers.zip":         answers,
			"hoppergrace_LATE_4712_900002_answers-1.zip":  answers,
			"hoppergrace_LATE_4712_900003_screenshot.png": "x",
			"o_neill_smith_4713_900004_first.yaml":        "# nothing",
			"o_neill_smith_4713_900005_second-2.yaml":     "kind: Secret",
			"curiemarie_4714_text.html":                   page("kind: Secret<br />"),
			"anon_x7fQ_900006_answers.zip":                answers,
			"LATE_anon_b81z_900007_answers.zip":           answers,
			"turingalan_4715_link.html":                   page("<a href='https://example.org'>here</a>"),
		}, []string{
			"4711 lovelaceada <> 100", "4712 hoppergrace <> 100 late", "4713 o_neill_smith <> refused: second-2.yaml:1: Secret",
			"4714 curiemarie <> refused: typed.yaml",
			"4715 turingalan <> 0: there is no manifest in it (*.yaml, *.yml, *.json)",
			"anon_b81z  <> 100 late", "anon_x7fQ  <> 100",
		}},
	} {
		dir := gradetest.Folder(t, c.files)
		archive := filepath.Join(gradetest.Folder(t, map[string]string{"download.zip": gradetest.Zip(t, c.files)}), "download.zip")
		for kind, path := range map[string]string{"folder": dir, "zip": archive} {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				found, err := batch.Find(path)
				if err != nil {
					t.Fatal(err)
				}
				defer found.Close()
				cfg := gradetest.Config(t, gradetest.Tutorial)
				if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
					t.Fatal(err)
				}
				var got []string
				for i, r := range results(t, cfg.Out) {
					line := fmt.Sprintf("%s %s <%s> ", r.ID, r.Name, r.Email)
					switch {
					case r.Status == batch.Errored || r.Status == batch.Refused:
						line += string(r.Status)
					default:
						line += fmt.Sprint(r.Score.Percent)
					}
					if r.Message != "" {
						line += ": " + r.Message
					}
					if e := found.Entries[i]; !e.SubmittedAt.IsZero() {
						line += " at " + e.SubmittedAt.UTC().Format("2006-01-02T15:04:05Z")
					} else if e.MarkedLate {
						line += " late"
					}
					got = append(got, line)
				}
				if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			})
		}
	}
}

// A folder or archive of the teacher's own is not taken for a platform's, whatever the names look like, and the other way round.
func TestWhoseDownload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		search batch.Search
		zip    bool
		files  []string
		want   []string // IDs
		err    string
	}{
		{"one number for a class", batch.Search{}, false, []string{"hw_2026_11_ada.yaml", "hw_2026_12_bob.yaml"}, []string{"hw_2026_11_ada", "hw_2026_12_bob"}, ""},
		{"one number, several names", batch.Search{}, false, []string{"ada_7_1_a.yaml", "bob_7_2_a.yaml", "eve_8_3_a.yaml"}, []string{"ada_7_1_a", "bob_7_2_a", "eve_8_3_a"}, ""},
		{"a mix", batch.Search{}, false, []string{"ada_7_1_a.yaml", "bob.yaml"}, []string{"ada_7_1_a", "bob"}, ""},
		{"files beside it", batch.Search{}, false, []string{"ada_7_1_a.yaml", "notes.txt"}, []string{"7"}, ""},
		{"said to be Canvas", batch.Search{From: batch.Canvas}, false, []string{"ada_7_1_a.yaml", "ada_7_2_b.yaml"}, []string{"7"}, ""},
		{"said to be plain", batch.Search{From: batch.Plain}, false, []string{"ada_7_1_a.yaml", "bob_8_2_a.yaml"}, []string{"ada_7_1_a", "bob_8_2_a"}, ""},
		{"said to be what it is not", batch.Search{From: batch.Moodle}, false, []string{"ada_7_1_a.yaml"}, nil, "is no download of moodle"},
		{"said to be Gradescope", batch.Search{From: batch.Gradescope}, false, []string{"submission_1/a.yaml"}, nil, "it has no submission_metadata.yml"},
		{"one student's archive", batch.Search{}, true, []string{"01-baseline/a.yaml", "02-backend-ingress-deny/a.yaml"}, []string{"class"}, ""},
		{"a class's archive", batch.Search{ClassArchive: true}, true, []string{"ada/a.yaml", "bob.yaml"}, []string{"ada", "bob"}, ""},
		{"a class's archive by its names", batch.Search{}, true, []string{"folder/ada_7_1_a.yaml", "folder/bob_8_2_a.yaml"}, []string{"7", "8"}, ""},
		{"an archive that climbs", batch.Search{}, true, []string{"ada_7_1_a.yaml", "bob_8_2_a.yaml", "../eve_9_3_a.yaml"}, nil, "leads out of the archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for _, name := range c.files {
				files[name] = "# nothing"
			}
			var path string
			if c.zip {
				path = filepath.Join(gradetest.Folder(t, map[string]string{"class.zip": gradetest.Zip(t, files)}), "class.zip")
			} else {
				path = gradetest.Folder(t, files)
			}
			found, err := c.search.Find(path)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer found.Close()
			var got []string
			for _, e := range found.Entries {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// A policy that was typed into an editor is the same as one from a file.
func TestTypedText(t *testing.T) {
	t.Parallel()
	policy, err := os.ReadFile("../../labs/networkpolicy/samples/solution/02-backend-ingress-deny/policy.yaml")
	if err != nil {
		entries, _ := os.ReadDir("../../labs/networkpolicy/samples/solution/02-backend-ingress-deny")
		t.Fatal(err, entries)
	}
	lines := strings.Split(strings.TrimSpace(string(policy)), "\n")
	paragraphs, breaks := "", ""
	for _, l := range lines {
		typed := strings.NewReplacer(" ", "&nbsp;", "<", "&lt;").Replace(l)
		paragraphs += "<p>" + typed + "</p>\n"
		breaks += typed + "<br />\n"
	}
	for name, page := range map[string]string{
		"paragraphs":   "<html><body>" + paragraphs + "</body></html>",
		"line breaks":  "<html><body><div>" + breaks + "</div></body></html>",
		"preformatted": "<html><body><pre><code>" + strings.Join(lines, "\n") + "</code></pre></body></html>",
	} {
		if got := strings.TrimSpace(string(batch.TypedText([]byte(page)))); got != strings.Join(lines, "\n") {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func FuzzTypedText(f *testing.F) {
	f.Add([]byte("<p>a: b</p><script>x"))
	f.Add([]byte("<pre></pre></pre>x\xff&nbsp"))
	f.Fuzz(func(t *testing.T, page []byte) {
		if got := batch.TypedText(page); len(got) > 4*len(page)+1 {
			t.Errorf("%d bytes became %d", len(page), len(got))
		}
	})
}
