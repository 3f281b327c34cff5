package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// reason is why some checks of an objective were missed, all of them for the same cause. Every format shows
// its fields in this order: what was expected and observed, why, the mistake, a hint.
type reason struct {
	Asked   []asked
	Error   string         // why the checks could not be run
	Because string         // the author's sentence
	Why     []string       // how the verdict came about, in sentences
	Mistake *grade.Finding // nil: not recognized
	Hint    string
}

// asked is a check that was missed: what it is about, the verdict that was expected, and the one observed.
type asked struct {
	From, To           string // From may be empty
	Expected, Observed string // in words; both may be empty
}

// reasonsShown is how many reasons of one objective are explained. Further checks that were missed are only listed; the
// report's JSON explains them all.
const reasonsShown = 5

// sentencesWithMistake is how much of the account of a verdict is shown with a mistake: which policy decided, and which
// rule came nearest. `labctl explain` tells the rest.
const sentencesWithMistake = 2

// reasonsOf lists why an objective of a task was missed, in the order of its checks. An objective that is met, or waits
// for another one, has no reasons.
func reasonsOf(r *grade.Report, task string, o *grade.ObjectiveReport) []reason {
	return reasonsFor(r, task, o, "")
}

// reasonsFor is reasonsOf for a reader who calls the lab by this name; see Style.Lab.
func reasonsFor(r *grade.Report, task string, o *grade.ObjectiveReport, called string) []reason {
	if o.Status == grade.Blocked {
		return nil // its checks are moot until then
	}
	var reasons []reason
	var causes []*grade.Check // the first check of each reason
	var others []asked
	egress := isAboutEgress(o.Checks)
	for i := range o.Checks {
		c := &o.Checks[i]
		if c.Passed {
			continue
		}
		at := slices.IndexFunc(causes, func(first *grade.Check) bool { return sameReason(first, c) })
		switch {
		case at >= 0:
			reasons[at].add(askedOf(c), c, egress)
		case len(causes) == reasonsShown:
			others = append(others, askedOf(c))
		default:
			causes = append(causes, c)
			reasons = append(reasons, reasonOf(r, task, o.Name, c))
		}
	}
	if len(others) > 0 {
		reasons = append(reasons, reason{Asked: others})
	}
	pointToHints(r, task, reasons, called)
	return reasons
}

// add adds a check that was missed for the same reason. Two checks of an objective may come down to one connection.
func (x *reason) add(a asked, c *grade.Check, egress bool) {
	if slices.Contains(x.Asked, a) {
		return
	}
	open := slices.IndexFunc(x.Why, isOpenEgress)
	switch {
	case open < 0 || c.Why == nil || slices.Contains(c.Why.Text, x.Why[open]):
	case egress && slices.ContainsFunc(c.Why.Text, isOpenEgress):
		x.Why[open] = alsoOpen(x.Why[open], c.Why.Text[slices.IndexFunc(c.Why.Text, isOpenEgress)])
	default:
		// That nothing closes the client's side is true of each, and a sentence about the first only.
		x.Why = slices.DeleteFunc(x.Why, isOpenEgress)
	}
	if egress && open >= 0 {
		// What lets the connection in is another matter for each.
		x.Why = slices.DeleteFunc(x.Why, func(sentence string) bool {
			return strings.HasPrefix(sentence, "Ingress to ") && !slices.Contains(c.Why.Text, sentence)
		})
	}
	x.Asked = append(x.Asked, a)
}

// isAboutEgress reports whether an objective is about what its clients may reach, rather than about who may reach its servers: it has more
// servers than clients.
func isAboutEgress(checks []grade.Check) bool {
	from, to := map[string]bool{}, map[string]bool{}
	for i := range checks {
		if c := &checks[i]; c.Kind != grade.CheckInvariant && c.From != "" {
			from[c.From], to[c.To] = true, true
		}
	}
	return len(to) > len(from)
}

// openEgress is the sentence that nothing closes the egress of clients.
var openEgress = regexp.MustCompile(`^Egress from (.+) is open: no policy in force selects it for egress\.$`)

// alsoOpen is a sentence that nothing closes the egress of a client, for that of another as well.
func alsoOpen(sentence, other string) string {
	const and = " are open: no policy in force selects them for egress."
	m := openEgress.FindStringSubmatch(other)
	names, more := strings.CutSuffix(strings.TrimPrefix(sentence, "Egress from "), and)
	if first := openEgress.FindStringSubmatch(sentence); first != nil {
		names = first[1]
	} else if !more {
		return sentence
	}
	if m == nil || slices.Contains(strings.Split(strings.ReplaceAll(names, " and ", ", "), ", "), m[1]) {
		return sentence
	}
	return "Egress from " + strings.ReplaceAll(names, " and ", ", ") + " and " + m[1] + and
}

// sameReason reports whether two checks were missed for the same known cause: one mistake, or one account.
func sameReason(a, b *grade.Check) bool {
	if a.Mistake != "" || b.Mistake != "" {
		// One mistake may close what was to be open, and leave open what was to be closed.
		return a.Mistake == b.Mistake && a.Hint == b.Hint && (a.Verdict == verdict.Allowed) == (b.Verdict == verdict.Allowed)
	}
	if a.Why == nil || b.Why == nil || a.Because != b.Because || a.Error != b.Error {
		return false
	}
	if slices.Equal(a.Why.Text, b.Why.Text) {
		return len(a.Why.Text) > 0
	}
	why := slices.DeleteFunc(slices.Clone(a.Why.Text), isOpenEgress)
	return len(why) > 0 && slices.Equal(why, slices.DeleteFunc(slices.Clone(b.Why.Text), isOpenEgress))
}

// isOpenEgress recognizes the sentence that nothing closes the egress of the client.
func isOpenEgress(sentence string) bool {
	return strings.HasPrefix(sentence, "Egress from ") &&
		(strings.Contains(sentence, " is open: no policy ") || strings.Contains(sentence, " are open: no policy "))
}

// pointToHints says where hints are to be had, once, with the first reason that has none of its own. The hints of a task
// are about what was handed in for it, and no help against a mistake in another task's folder.
func pointToHints(r *grade.Report, task string, reasons []reason, called string) {
	for i := range reasons {
		if x := &reasons[i]; x.Hint == "" && x.Error == "" && !(x.Mistake != nil && isOfOtherTask(r, x.Mistake.File, task)) {
			x.Hint = instead(r, task, called)
			return
		}
	}
}

// isOfOtherTask reports whether a file stands in the folder of another task.
func isOfOtherTask(r *grade.Report, file, task string) bool {
	folder, _, _ := strings.Cut(file, "/")
	lab := labs.Lab{}
	for i := range r.Tasks {
		lab.Tasks = append(lab.Tasks, labs.Task{Name: r.Tasks[i].Name})
	}
	at := lab.FindTask(folder) // which knows how folders are named
	return at >= 0 && lab.Tasks[at].Name != task
}

func reasonOf(r *grade.Report, task, objective string, c *grade.Check) reason {
	x := reason{Asked: []asked{askedOf(c)}, Error: c.Error, Because: c.Because, Hint: c.Hint}
	if c.Why != nil {
		x.Why = make([]string, len(c.Why.Text))
		for i, sentence := range c.Why.Text {
			x.Why[i] = anyPod(sentence)
		}
	}
	if c.Kind == grade.CheckObject && c.Because != "" {
		x.Because = "" // which takes the place of the name
		x.Why = nil    // it only counts the objects
	}
	if c.Mistake != "" {
		x.Mistake = mistakeOf(r, task, objective, c.Mistake)
		x.Why = slices.DeleteFunc(x.Why, x.isAside)
		shown := sentencesWithMistake
		shown += slices.IndexFunc(append(slices.Clone(x.Why), ""), isAboutCause)
		if i := slices.IndexFunc(x.Why, isRequestRefused); i >= 0 {
			shown = max(shown, i+2) // with what the rule lets through instead
		}
		x.Why = x.Why[:min(len(x.Why), shown)]
	}
	return x
}

// isAboutCause tells the account of a verdict from the sentences before it: which of several ends it is about, and which
// pods an end stands for.
func isAboutCause(sentence string) bool {
	return !strings.HasPrefix(sentence, "Stands for ") && !strings.HasPrefix(sentence, "The connection with ")
}

// isRequestRefused recognizes the sentence that a request matches no rule; the next one says which do.
func isRequestRefused(sentence string) bool {
	return strings.Contains(sentence, " the request itself matches no rule of ")
}

// isAside recognizes a sentence about a rule that came near, of another policy than the mistake is in.
func (x *reason) isAside(sentence string) bool {
	if x.Mistake.Policy == "" ||
		!strings.Contains(sentence, " does not match: ") && !strings.Contains(sentence, " does not apply here: ") {
		return false
	}
	return !strings.Contains(sentence+" ", x.Mistake.Policy+" ")
}

// instead says where hints are to be had if there are any left and something was submitted; otherwise "".
func instead(r *grade.Report, task, called string) string {
	i := slices.IndexFunc(r.Tasks, func(t grade.TaskReport) bool { return t.Name == task })
	switch {
	case i < 0 || !r.Tasks[i].Attempted:
		return ""
	case r.Tasks[i].HintsWithheld, r.Tasks[i].HintsLeft:
		if called == "" {
			called = "LAB" // where its directory is, nobody knows
			if slices.Contains(labs.Shipped(), r.Lab.Name) {
				called = r.Lab.Name
			}
		}
		return fmt.Sprintf("`labctl hint %s %s` lists the hints of this task, and what they cost.", called, task)
	}
	return ""
}

// mistakeOf is the finding of an ID: that of the objective, otherwise the first of the report. A report with very many
// findings leaves some out; of those only the ID is known.
func mistakeOf(r *grade.Report, task, objective, id string) *grade.Finding {
	found := &grade.Finding{ID: id, Title: id}
	for i := range r.Findings {
		f := &r.Findings[i]
		switch {
		case f.ID != id:
		case f.Task == task && f.Objective == objective:
			return f
		case found.Task == "":
			found = f
		}
	}
	return found
}

func askedOf(c *grade.Check) asked {
	a := asked{From: anyPod(c.From), To: outside(anyPod(c.To))}
	if c.Kind == grade.CheckInvariant && podAddress.MatchString(a.To) {
		a.To += " by pod IP" // as other checks say it, to a port that no Service may have
	}
	if a.To == "" && c.Kind == grade.CheckObject {
		a.To = c.Because
	}
	a.To = cmp.Or(a.To, c.Name, string(c.Kind))
	if c.Expected != "" {
		a.Expected = word(c.Expected)
		if c.Verdict != "" {
			a.Observed = word(c.Verdict)
		}
	}
	return a
}

// representative finds the names of pods and namespaces that stand for all others like them (package representative).
var representative = regexp.MustCompile(`([a-z0-9.-]+)/any-pod-\d+\b`)

// podAddress finds a connection that goes to a pod itself: "shop/web:80".
var podAddress = regexp.MustCompile(`^[a-z0-9.-]+/[a-z0-9.-]+:\d+(/[A-Z]+)?$`)

// anyPod puts the representatives in a text into words: "some other pod in shop".
func anyPod(text string) string {
	if !strings.Contains(text, "/any-pod-") {
		return text
	}
	return representative.ReplaceAllStringFunc(text, func(ref string) string {
		namespace, _, _ := strings.Cut(ref, "/")
		if strings.HasPrefix(namespace, "any-namespace-") {
			return "some pod in some other namespace"
		}
		return "some other pod in " + namespace
	})
}

// outside puts the rule model's name for what is not in the cluster into words.
func outside(text string) string {
	return strings.Replace(text, "entity:world", "some host outside the cluster", 1)
}

// subject is what the check is about: "frontend → backend:8080", or a name.
func (a *asked) subject() string {
	text := a.To
	if a.From != "" {
		text = a.From + " → " + a.To
	}
	return text
}

// text is what the check is about and its verdicts, in a line.
func (a *asked) text() string {
	text := a.subject()
	if a.Expected != "" {
		text += ": expected " + a.Expected
	}
	if a.Observed != "" {
		text += ", got " + a.Observed
	}
	return text
}

// lines is the reason in lines of plain text, for places where whitespace means nothing.
func (r *reason) lines() []string {
	var lines []string
	for i := range r.Asked {
		lines = append(lines, r.Asked[i].text())
	}
	if r.Error != "" {
		lines = append(lines, "Could not be checked: "+r.Error)
	}
	if r.Because != "" {
		lines = append(lines, r.Because)
	}
	if len(r.Why) > 0 {
		lines = append(lines, "Why: "+strings.Join(r.Why, " "))
	}
	if r.Mistake != nil {
		lines = append(lines, "Mistake: "+(&page{}).finding(r.Mistake))
	}
	if r.Hint != "" {
		lines = append(lines, "Hint: "+r.Hint)
	}
	return lines
}

// remarks lists the findings that no check of the report names: what else was noticed.
func remarks(r *grade.Report) []grade.Finding {
	shown := map[string]bool{}
	for _, t := range r.Tasks {
		for _, o := range t.Objectives {
			for _, c := range o.Checks {
				if !c.Passed && c.Mistake != "" {
					shown[c.Mistake] = true
				}
			}
		}
	}
	var rest []grade.Finding
	for _, f := range r.Findings {
		if !shown[f.ID] {
			rest = append(rest, f)
		}
	}
	return rest
}

// placeOf is where a finding is, "" if its message says so.
func placeOf(f *grade.Finding) string {
	if at := grade.Place(f.File, f.Line); !strings.Contains(f.Message, at) {
		return at
	}
	return ""
}
