// Package labstest gives tests labs that are complete, as those that labs.Load returns: nothing that reads a lab
// applies defaults again.
package labstest

import (
	"cmp"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// Load loads a lab from the text of its lab.hcl and, by path, its other files. The test fails if there is a problem.
func Load(t testing.TB, source string, files map[string]string) *labs.Lab {
	t.Helper()
	lab, diags := labs.Load(FS(source, files), ".", labs.LoadOptions{})
	if len(diags.Diagnostics) > 0 {
		var text strings.Builder
		_ = diags.WriteText(&text, 100, false)
		t.Fatalf("the lab of the test has problems:\n%s", text.String())
	}
	return lab
}

// FS is a lab's directory in memory.
func FS(source string, files map[string]string) fs.FS {
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(source)}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// Complete fills in what a lab built by hand leaves out of its apps, externals, objectives and submission, as Load
// would, and returns the lab. The pass mark stays: 0 is a pass mark too.
func Complete(lab *labs.Lab) *labs.Lab {
	lab.Layout = cmp.Or(lab.Layout, labs.Layout(text("submission", "layout")))
	lab.Tampered = cmp.Or(lab.Tampered, labs.Tampered(text("integrity", "tampered")))
	lab.Cilium.Version = cmp.Or(lab.Cilium.Version, text("cilium", "version"))
	if lab.Submission.Kinds == nil {
		lab.Submission.Kinds = def("submission", "kinds").([]string)
	}
	for i := range lab.Apps {
		completeApp(&lab.Apps[i])
	}
	for i := range lab.Externals {
		ext := &lab.Externals[i]
		ext.Port = cmp.Or(ext.Port, def("external", "port").(int))
		ext.Protocol = cmp.Or(ext.Protocol, text("external", "protocol"))
		if len(ext.Addrs) == 0 {
			ext.Addrs = []string{"203.0.113.1"}
		}
	}
	for i := range lab.Tasks {
		task := &lab.Tasks[i]
		task.Visibility = cmp.Or(task.Visibility, labs.Visible)
		for j := range task.Objectives {
			completeObjective(&task.Objectives[j], task)
		}
	}
	return lab
}

func completeApp(app *labs.App) {
	app.Namespace = cmp.Or(app.Namespace, text("app", "namespace"))
	app.Workload = cmp.Or(app.Workload, text("app", "kind")+"/"+app.Name)
	app.Replicas = cmp.Or(app.Replicas, def("app", "replicas").(int))
	if app.Labels == nil && app.Manifests == nil {
		app.Labels = map[string]string{"app": app.Name}
	}
	app.Labels = maps.Clone(app.Labels)
	for i := range app.Ports {
		p := &app.Ports[i]
		p.TargetPort = cmp.Or(p.TargetPort, p.Port)
		p.Protocol = cmp.Or(p.Protocol, "TCP")
	}
	if app.Manifests == nil && len(app.Ports) > 0 {
		app.Service = cmp.Or(app.Service, app.Name)
		app.ServiceType = cmp.Or(app.ServiceType, labs.ServiceType(text("app", "service_type")))
	}
}

func completeObjective(o *labs.Objective, task *labs.Task) {
	o.Partial = cmp.Or(o.Partial, labs.PartialAll)
	o.Visibility = cmp.Or(o.Visibility, task.Visibility)
	for _, c := range o.Checks {
		if m, ok := c.(*labs.Matrix); ok {
			m.Otherwise = cmp.Or(m.Otherwise, verdict.Denied)
		}
	}
}

// def is the default of an attribute in the schema.
func def(block, attr string) any { return schema.Lab().Block(block).Attribute(attr).Default }

func text(block, attr string) string { return def(block, attr).(string) }
