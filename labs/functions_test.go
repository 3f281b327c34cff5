package labs_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/labs"
)

// title evaluates an expression as the title of a lab.
func title(expr string) (string, *labs.Diagnostics) {
	fsys := fstest.MapFS{
		"lab.hcl": {Data: []byte("lab \"x\" {\n  title = " + expr + "\n}\n" + `
app "a" {
  labels = { app = "a", tier = "web" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
namespace "n" {}
external "e" { cidr = "203.0.113.0/24" }
task "t" {
  objective "o" {
    points = 1
    invariant "i" { to = app.a }
  }
}
`)},
		"docs/one.md":    {Data: []byte("one")},
		"docs/two.md":    {Data: []byte("two")},
		"docs/sub/x.md":  {Data: []byte("x")},
		"docs/hello.tpl": {Data: []byte(`Hello ${name}%{ for x in list } ${x}%{ endfor }`)},
		"docs/outer.tpl": {Data: []byte(`${templatefile("docs/hello.tpl", { name = upper(who), list = [] })}!`)},
	}
	lab, diags := labs.Load(fsys, ".", labs.LoadOptions{})
	if lab == nil {
		return "", diags
	}
	return lab.Title, diags
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`file("docs/one.md")`:                                             "one",
		`file("./docs/one.md")`:                                           "one",
		`fileexists("docs/one.md")`:                                       "true",
		`fileexists("docs")`:                                              "false",
		`fileexists("none")`:                                              "false",
		`join(" ", fileset("docs", "*.md"))`:                              "one.md two.md",
		`join(" ", fileset(".", "docs/*/*.md"))`:                          "docs/sub/x.md",
		`join(" ", fileset("docs", "none*"))`:                             "",
		`templatefile("docs/hello.tpl", { name = "you", list = [1, 2] })`: "Hello you 1 2",
		`templatefile("docs/outer.tpl", { who = "all" })`:                 "Hello ALL!",
		`cidrhost("10.1.0.0/16", 5)`:                                      "10.1.0.5",
		`cidrhost("10.1.0.0/16", -1)`:                                     "10.1.255.255",
		`cidrhost("fd00::/8", 1)`:                                         "fd00::1",
		`cidrsubnet("10.0.0.0/8", 8, 3)`:                                  "10.3.0.0/16",
		`cidrcontains("10.0.0.0/8", "10.2.3.4")`:                          "true",
		`cidrcontains("10.0.0.0/8", "11.2.3.4")`:                          "false",
		`yamldecode("a: [1, 2]").a[1]`:                                    "2",
		`yamldecode("a: &x 1\nb: *x").b`:                                  "1",
		`jsonencode({ a = [1, true, null] })`:                             `{"a":[1,true,null]}`,
		`format("%05d|%-5s|%3s", 42, "a", "b")`:                           "00042|a    |  b",
		`replace("a.b.c", ".", "-")`:                                      "a-b-c",
		`regexreplace("a1b22", "[0-9]+", "#")`:                            "a#b#",
		`length(setproduct([1, 2], ["a", "b"]))`:                          "4",
		`try(tonumber("x"), "none")`:                                      "none",
		`can(file("none"))`:                                               "false",
		`app.a.host`:                                                      "a.default.svc.cluster.local",
		`app.a.labels.tier`:                                               "web",
		`app.a.port.http.target_port`:                                     "8080",
		`app.a["port"]["http"].port`:                                      "80",
		`join(",", [for k, a in app : "${k}=${a.namespace}"])`:            "a=default",
		`join(",", keys(namespace))`:                                      "n",
		`(true ? app.a : app.a).name`:                                     "a",
		`element([for p in app.a.port : p.name], 0)`:                      "http",
		`"${external.e.cidr} ${external.e.port}"`:                         "203.0.113.0/24 443",
		`node("worker").name`:                                             "worker",
		`dns("Kubernetes.io.").name`:                                      "Kubernetes.io.",
		"<<-EOT\n    two\n    lines\n  EOT\n":                             "two\nlines\n",
	} {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			got, diags := title(expr)
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// What a lab must not be able to do.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`file("../lab.hcl")`:                           "would leave the lab directory",
		`file("docs/../../x")`:                         "would leave the lab directory",
		`file("/etc/hostname")`:                        "absolute paths",
		`file("C:/x")`:                                 "absolute paths",
		`file("docs\\one.md")`:                         "forward slashes",
		`file("")`:                                     "the path is empty",
		`fileset("/", "*")`:                            "absolute paths",
		`templatefile("../x", {})`:                     "would leave the lab directory",
		`templatefile("docs/hello.tpl", "x")`:          "the variables are a map",
		`templatefile("docs/hello.tpl", {})`:           `uses "name"`,
		`env("HOME")`:                                  `no function "env"`,
		`timestamp()`:                                  `no function "timestamp"`,
		`format("%9999s", "")`:                         "a width or precision above 999",
		`format("%-9999s", "")`:                        "a width or precision above 999",
		`format("%.9999f", 1)`:                         "a width or precision above 999",
		`indent(1000000000, "a\nb")`:                   "too large",
		`tostring(setproduct(range(300), range(300)))`: "too large",
		`app.a["@ref"]`:                                `no "@ref"`,
		`path.module`:                                  `no "path"`,
	} {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			_, diags := title(expr)
			if err := diags.Err(); err == nil || !strings.Contains(diags.List()[0].Detail, want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}
