package report

import (
	"encoding/xml"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/labctl/labctl/grade"
)

// junitWriter writes a test suite per result and a test case an objective. What was missed is a failure, what could not
// be checked an error, and what is hidden is left out.
type junitWriter struct {
	enc *xml.Encoder
	a   *Assignment
	n   int
}

var junitRoot = xml.StartElement{Name: xml.Name{Local: "testsuites"}}

func junitClass(w io.Writer, a *Assignment) ClassWriter {
	j := &junitWriter{enc: xml.NewEncoder(w), a: a}
	j.enc.Indent("", "  ")
	// Add and Close return what cannot be written.
	_, _ = io.WriteString(w, xml.Header)
	_ = j.enc.EncodeToken(junitRoot)
	return j
}

func (j *junitWriter) Add(o *Result) error {
	suite := junit.Testsuite{Name: xmlClean(o.who()), ID: j.n, Package: j.a.Lab.Name, Time: "0"}
	j.n++
	for _, obj := range o.objectives() {
		c := junit.Testcase{Classname: j.a.Lab.Name + "." + obj.task.Name, Name: xmlClean(obj.title())}
		switch obj.Status {
		case grade.Met:
		case grade.Error:
			c.Error = &junit.Result{Type: "infrastructure", Message: couldNotCheck, Data: xmlClean(o.explained(&obj))}
		default:
			message := points(*obj.Points, obj.Max)
			if mistake := o.mistake(&obj); mistake != "" {
				message += ": " + mistake
			}
			c.Failure = &junit.Result{Type: string(obj.Status), Message: xmlClean(message), Data: xmlClean(o.explained(&obj))}
		}
		suite.AddTestcase(c)
	}
	if o.Report == nil {
		c := junit.Testcase{Classname: j.a.Lab.Name, Name: "submission"}
		result := &junit.Result{Message: xmlClean(o.problems()[0]), Data: xmlClean(strings.Join(o.problems(), "\n"))}
		if o.Status == grade.Errored {
			result.Type, c.Error = "infrastructure", result
		} else {
			result.Type, c.Failure = string(o.Status), result
		}
		suite.AddTestcase(c)
	}
	return j.enc.EncodeElement(suite, xml.StartElement{Name: xml.Name{Local: "testsuite"}})
}

func (j *junitWriter) Close() error {
	if err := j.enc.EncodeToken(junitRoot.End()); err != nil {
		return err
	}
	return j.enc.Close()
}

// xmlClean replaces what no XML document can hold, escaped or not.
func xmlClean(s string) string {
	clean := utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !xmlChar(r) }) < 0
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if xmlChar(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// xmlChar says what of Unicode a document can hold: https://www.w3.org/TR/xml/#charsets, less the carriage
// return, of which readers make a line feed.
func xmlChar(r rune) bool {
	return r == '\t' || r == '\n' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
}
