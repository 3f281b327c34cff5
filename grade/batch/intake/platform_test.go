package intake_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
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

// canvasPage is made after Canvas's page with a typed answer.
func canvasPage(body string) string {
	return `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
        "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
<head>
  <meta http-equiv="Content-Type" content="text/html;charset=utf-8" />
  <title>Lab 3: the <b>end</b>: Ada Lovelace</title>
</head>
<body>
<h1>Lab 3: the <b>end</b>: Ada Lovelace</h1>
<div style="width: 600px; margin: 20px auto; border: 1px solid #888; padding: 20px;">
  ` + body + `
</div>
</body>
</html>
`
}

// Whatever a Gradescope export says of a submission, each student gets one entry, and what is nobody's is an error.
func TestOddGradescopeEntries(t *testing.T) {
	t.Parallel()
	ada := "  :submitters:\n  - :name: Ada\n    :sid: '1'\n"
	for name, c := range map[string]struct{ about, want string }{
		"nothing":             {"\n", "submission_101: no student: it is not listed in submission_metadata.yml"},
		"no submitters":       {"\n  :score: 1\n", "submission_101: no student: it has no submitters"},
		"empty submitters":    {"\n  :submitters: []\n", "submission_101: no student: it has no submitters"},
		"a student twice":     {"\n" + ada + "  - :name: Ada\n    :sid: '1'\n", "1: "},
		"nothing, no folder":  {"\n" + ada + "submission_102:\n", "1: "},
		"an alias to itself":  {" &a\n" + ada + "  :x: *a\n", "1: "},
		"a number for an ID":  {"\n  :submitters:\n  - :name: Ada\n    :sid: 00123\n", "00123: "},
		"no time":             {"\n  :created_at: yesterday\n" + ada, "1: line 2 of submission_metadata.yml: :created_at: \"yesterday\" is not a time"},
		"no ID nor address":   {"\n  :submitters:\n  - :name: Ada\n", "submission_101: "},
		"a second submission": {"\n" + ada + "submission_102:\n" + ada, "1: the student ID \"1\" occurs more than once"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"submission_metadata.yml": "submission_101:" + c.about, "submission_101/a.yaml": "a: b"} {
			path := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		found, err := intake.Find(dir)
		if err != nil || len(found.Entries) != 1 {
			t.Errorf("%s: %v, %v", name, found, err)
			continue
		}
		if got := found.Entries[0].ID + ": " + found.Entries[0].Problem; !strings.HasPrefix(got, c.want) || strings.HasSuffix(c.want, ": ") && got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

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
			"4713 Hopper's partner <> 0: it contains no manifest (*.yaml, *.yml, *.json); files found: README.md, README.txt at 2026-11-21T18:00:00Z",
			"4714 Nobody's Folder <> error: the export does not contain submission_103, which submission_metadata.yml lists",
			"grace@example.org Grace Hopper <grace@example.org> 0: it contains no manifest (*.yaml, *.yml, *.json); files found: README.md, README.txt at 2026-11-21T18:00:00Z",
			"submission_104  <> error: no student: it is not listed in submission_metadata.yml",
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
			"4713 Participant <> 0: it contains no manifest (*.yaml, *.yml, *.json)",
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
			"4715 turingalan <> 0: it contains no manifest (*.yaml, *.yml, *.json)",
			"anon_b81z  <> 100 late", "anon_x7fQ  <> 100",
		}},
		{"Canvas, names of digits and odd names", map[string]string{
			"20231234_4711_900001_answers.zip": answers, "20235678_LATE_4712_900002_lab_3_v2.zip": answers,
			"smith_2_4713_900003_1_answers.zip": answers, "2023_99_4714_900004_answers.zip": answers,
			"group1_4715_900005_answers.zip": answers, "__4716_900006_answers.zip": answers, "20231235_4717_text.html": canvasPage("kind: Secret"),
			"rubric.yaml": "a: 1", "instructions.pdf": "x",
		}, []string{
			"4711 20231234 <> 100", "4712 20235678 <> 100 late", "4713 smith_2 <> 100", "4714 2023_99 <> 100", "4715 group1 <> 100", "4716 _ <> 100",
			"4717 20231235 <> refused: typed.yaml:1", "rubric  <> error: rubric.yaml is not the name of a submission in a Canvas export",
		}},
		{"Canvas, a name that is also somebody else's", map[string]string{
			"adalovelace_4711_900001_answers.zip": answers, "gracehopper_4712_900002_answers.zip": answers, "copy_4712_900009_answers.zip": answers,
			"alanturing_4713_900003_answers.zip": answers, "mariecurie_4714_900004_answers.zip": answers,
		}, []string{
			"4711 adalovelace <> 100", "4712 copy <> error: the number 4712 belongs to several names, so labctl cannot tell whose it is", "4713 alanturing <> 100", "4714 mariecurie <> 100",
		}},
		{"Moodle, a file that is called as another's", map[string]string{
			"Ada Lovelace_4711_assignsubmission_file_answers.zip":                     answers,
			"Eve_4712_assignsubmission_file_x_4711_assignsubmission_file_answers.zip": answers,
			"Bob_4713_assignsubmission_file_screenshot.png":                           "x",
			"Bob_4713_assignsubmission_onlinetext_onlinetext.html":                    page("<p>kind: Secret</p>"),
			"Kim_assignsubmission_file_answers.zip":                                   answers,
			"solution.zip":                                                            answers,
		}, []string{
			"4711 Ada Lovelace <> 100", "4712 Eve <> 100", "4713 Bob <> refused: typed.yaml", "Kim Kim <> error: its name has no number",
			"solution  <> error: solution.zip is not the name of a submission in a Moodle export",
		}},
		{"Moodle, teams", map[string]string{
			"Group A_12_assignsubmission_file/answers.zip": answers, "Group B_13_assignsubmission_file/answers.zip": answers,
			"Default group_assignsubmission_file/answers.zip": answers,
		}, []string{"12 Group A <> 100", "13 Group B <> 100", "Default group Default group <> error: its name has no number"}},
		{"Moodle, files and text", map[string]string{
			"Ada_4711_assignsubmission_file/shot.png":                         "x",
			"Ada_4711_assignsubmission_onlinetext/onlinetext.html":            page("<p>kind: Secret</p>"),
			"Grace_4712_assignsubmission_file/my answers/deep/answers.zip":    answers,
			"Alan_4713_assignsubmission_file/answers.rar":                     "Rar!\x1a\x07\x00",
			"Marie_4714_assignsubmission_file/02-backend-ingress-deny/p.yaml": "# nothing",
		}, []string{
			"4711 Ada <> refused: typed.yaml", "4712 Grace <> 100", "4713 Alan <> refused: answers.rar: RAR files cannot be opened", "4714 Marie <> 0: its manifests are empty or still commented out",
		}},
	} {
		dir := gradetest.Folder(t, c.files)
		archive := filepath.Join(gradetest.Folder(t, map[string]string{"download.zip": gradetest.Zip(t, c.files)}), "download.zip")
		for kind, path := range map[string]string{"folder": dir, "zip": archive} {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				found, err := intake.Find(path)
				if err != nil {
					t.Fatal(err)
				}
				defer found.Close()
				cfg := gradetest.Config(t, gradetest.Tutorial)
				if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
					t.Fatal(err)
				}
				var got []string
				for i, r := range gradetest.Results(t, cfg.Out) {
					line := fmt.Sprintf("%s %s <%s> ", r.ID, r.Name, r.Email)
					switch {
					case r.Status == grade.Errored || r.Status == grade.Refused:
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

// A folder or archive of the teacher's own is not taken for a platform's, whatever the names look like, and
// the other way round.
func TestWhoseDownload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		search intake.Search
		zip    bool
		files  []string
		want   []string // IDs
		err    string
	}{
		{"one number for a class", intake.Search{}, false, []string{"hw_2026_11_ada.yaml", "hw_2026_12_bob.yaml"}, []string{"hw_2026_11_ada", "hw_2026_12_bob"}, ""},
		{"one number, several names", intake.Search{}, false, []string{"ada_7_1_a.yaml", "bob_7_2_a.yaml", "eve_8_3_a.yaml"}, []string{"ada_7_1_a", "bob_7_2_a", "eve_8_3_a"}, ""},
		{"a mix", intake.Search{}, false, []string{"ada_7_1_a.yaml", "bob.yaml"}, []string{"ada_7_1_a", "bob"}, ""},
		{"files beside it", intake.Search{}, false, []string{"ada_7_1_a.yaml", "notes.txt"}, []string{"7"}, ""},
		{"said to be Canvas", intake.Search{From: intake.Canvas}, false, []string{"ada_7_1_a.yaml", "ada_7_2_b.yaml"}, []string{"7"}, ""},
		{"said to be plain", intake.Search{From: intake.Plain}, false, []string{"ada_7_1_a.yaml", "bob_8_2_a.yaml"}, []string{"ada_7_1_a", "bob_8_2_a"}, ""},
		{"an odd one among many", intake.Search{}, false, []string{"ada_7_1_a.yaml", "bob_8_2_a.yaml", "eve.yaml"}, []string{"7", "8", "eve"}, ""},
		{"one of Canvas's among many others", intake.Search{}, false, []string{"ada_7_1_a.yaml", "bob.yaml", "eve.yaml"}, []string{"ada_7_1_a", "bob", "eve"}, ""},
		{"two ways to read a name", intake.Search{From: intake.Canvas}, false, []string{"smith_2_4711_900001_a.yaml"}, []string{"smith_2_4711_900001_a"}, ""},
		{"two ways, of which one is none", intake.Search{From: intake.Canvas}, false, []string{"ada_4711_900001_3_lab.yaml"}, []string{"4711"}, ""},
		{"numbers in front of a file's name", intake.Search{From: intake.Canvas}, false, []string{"ada_4711_900001_02_allow_3_4_a.yaml"}, []string{"4711"}, ""},
		{"a student's file with another's numbers in its name", intake.Search{From: intake.Canvas}, false, []string{"ada_4711_900001_x_4712_900009_a.yaml"}, []string{"4711"}, ""},
		{"a name that is LATE in small letters", intake.Search{From: intake.Canvas}, false, []string{"late_4711_900001_a.yaml"}, []string{"4711"}, ""},
		{"a name of anon", intake.Search{From: intake.Canvas}, false, []string{"anon_4711_900001_a.yaml"}, []string{"4711"}, ""},
		{"teams that are said", intake.Search{From: intake.MoodleTeams}, false, []string{"Owls_7_assignsubmission_file/a.yaml", "Default group_assignsubmission_file/a.yaml"}, []string{"7", "Default group"}, ""},
		{"said to be what it is not", intake.Search{From: intake.Moodle}, false, []string{"ada_7_1_a.yaml"}, nil, "is not a Moodle export"},
		{"said to be Gradescope", intake.Search{From: intake.Gradescope}, false, []string{"submission_1/a.yaml"}, nil, "it has no submission_metadata.yml"},
		{"one student's archive", intake.Search{}, true, []string{"01-baseline/a.yaml", "02-backend-ingress-deny/a.yaml"}, []string{"class"}, ""},
		{"a class's archive", intake.Search{ClassArchive: true}, true, []string{"ada/a.yaml", "bob.yaml"}, []string{"ada", "bob"}, ""},
		{"a class's archive by its names", intake.Search{}, true, []string{"folder/ada_7_1_a.yaml", "folder/bob_8_2_a.yaml"}, []string{"7", "8"}, ""},
		{"an archive that climbs", intake.Search{}, true, []string{"ada_7_1_a.yaml", "bob_8_2_a.yaml", "../eve_9_3_a.yaml"}, nil, "points outside the archive"},
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
	policy, err := os.ReadFile("../../../labs/networkpolicy/samples/solution/02-backend-ingress-deny/policy.yaml")
	if err != nil {
		entries, _ := os.ReadDir("../../../labs/networkpolicy/samples/solution/02-backend-ingress-deny")
		t.Fatal(err, entries)
	}
	lines := strings.Split(strings.TrimSpace(string(policy)), "\n")
	paragraphs, breaks := "", ""
	for _, l := range lines {
		typed := strings.NewReplacer(" ", "&nbsp;", "<", "&lt;").Replace(l)
		paragraphs += "<p>" + typed + "</p>\n"
		breaks += typed + "<br />\n"
	}
	raw := strings.Join(lines, "\n")
	spaced := strings.NewReplacer("  ", "&nbsp; ", "<", "&lt;")
	for name, page := range map[string]string{
		"paragraphs":                     "<html><body>" + paragraphs + "</body></html>",
		"line breaks":                    "<html><body><div>" + breaks + "</div></body></html>",
		"preformatted":                   "<html><body><pre><code>" + raw + "</code></pre></body></html>",
		"Canvas, paragraphs":             canvasPage(paragraphs),
		"Canvas, line breaks":            canvasPage("<p>" + breaks + "</p>"),
		"Canvas, breaks without an end":  canvasPage(strings.ReplaceAll(breaks, "<br />\n", "<br>")),
		"Canvas, preformatted":           canvasPage("<pre>" + raw + "</pre>"),
		"Canvas, without markup":         canvasPage(raw),
		"Canvas, Windows' lines":         canvasPage("<pre>" + strings.Join(lines, "\r\n") + "</pre>"),
		"Canvas, numeric entities":       canvasPage(strings.ReplaceAll(breaks, "&nbsp;", "&#160;")),
		"Canvas, some spaces hard":       canvasPage("<p>" + strings.ReplaceAll(spaced.Replace(raw), "\n", "<br/>\n") + "</p>"),
		"Canvas, a line a box":           canvasPage("<div>" + strings.ReplaceAll(strings.TrimSpace(breaks), "<br />", "</div><div>") + "</div>"),
		"Canvas, spans":                  canvasPage("<p><span style='x'>" + strings.ReplaceAll(breaks, "<br />", "</span><br /><span>") + "</span></p>"),
		"Canvas, a cursor":               canvasPage("<p>\ufeff" + breaks + "\u200b</p>"),
		"Canvas, boxes closed too often": canvasPage("</div></div>" + breaks),
	} {
		got := string(intake.TypedText([]byte(page), strings.HasPrefix(name, "Canvas")))
		got = strings.TrimSpace(strings.ReplaceAll(got, "\r", ""))
		if got != raw {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
	// Headings that the student typed stay, for the student to be told of them; Canvas's goes by the title alone, too.
	for page, want := range map[string]string{
		canvasPage("<h1>My answer</h1><p>a: b</p>"):                               "My answer\na: b\n",
		"<head><title>Lab: Ada</title></head><body><h2>Lab:  Ada</h2><p>a: b</p>": "a: b\n",
		"<head><title>Lab: Ada</title></head><body><h2>Solution</h2><p>a: b</p>":  "Solution\na: b\n",
		"<body><p>a: b</p><h1>Lab: Ada</h1>":                                      "a: b\nLab: Ada\n",
		"<head><title>Lab: Ada</title></head><body><h1>Lab: Ada<div>a: b</div>":   "a: b\n",
		"<body><p>a: 1 &lt; 2 &amp;&amp; &quot;x&quot; &#39;y&#39;</p>":           "a: 1 < 2 && \"x\" 'y'\n",
	} {
		if got := string(intake.TypedText([]byte(page), strings.Contains(page, "600px"))); got != want {
			t.Errorf("%s\ngot %q, want %q", page, got, want)
		}
	}
}

func FuzzTypedText(f *testing.F) {
	f.Add([]byte("<p>a: b</p><script>x"))
	f.Add([]byte("<pre></pre></pre>x\xff&nbsp"))
	f.Fuzz(func(t *testing.T, page []byte) {
		if got := intake.TypedText(page, len(page)%2 == 0); len(got) > 4*len(page)+1 {
			t.Errorf("%d bytes became %d", len(page), len(got))
		}
	})
}

const denyAll = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}}}"

// An archive of archives that is named like a single submission is no submission of 0 points, whatever the
// lab's layout: nobody can know which of its archives counts, and the error names the flag.
func TestClassArchiveWithoutFlag(t *testing.T) {
	t.Parallel()
	students := map[string]string{}
	for _, id := range []string{"ada", "bob", "eve"} {
		students[id+".zip"] = gradetest.Zip(t, map[string]string{"policy.yaml": denyAll + "\n# " + id})
	}
	dir := gradetest.Folder(t, map[string]string{
		"class.zip":  gradetest.Zip(t, students),
		"nested.zip": gradetest.Zip(t, map[string]string{"class.zip": gradetest.Zip(t, students)}),
	})
	flat := gradetest.Folder(t, map[string]string{"lab.hcl": flatLab})
	for _, lab := range []string{"../testdata/lab", flat, gradetest.Tutorial} {
		for _, name := range []string{"class.zip", "nested.zip"} {
			cfg := gradetest.Config(t, lab)
			cfg.NoReports = true
			sum := gradetest.Run(t, cfg, filepath.Join(dir, name))
			if len(sum.Failures) != 1 || !strings.Contains(sum.Failures[0].Message, "add --class-archive") {
				t.Errorf("%s in %s: %+v", name, lab, sum)
			}
		}
		found, err := intake.Search{ClassArchive: true}.Find(filepath.Join(dir, "class.zip"))
		if err != nil || len(found.Entries) != 3 {
			t.Errorf("with the flag: %v, %v", found, err)
		}
		if err == nil {
			_ = found.Close()
		}
	}
}

// flatLab takes flat submissions only.
const flatLab = `lab "flat" {
  title = "Nobody reaches the backend"
}
app "backend" {
  port "http" { port = 80 }
}
app "frontend" {}
submission { layout = "flat" }
task "deny" {
  title        = "Deny"
  instructions = "Deny."
  objective "isolated" {
    points = 1
    expect "dropped" {
      from = app.frontend
      to   = app.backend.port.http
    }
  }
}
`
