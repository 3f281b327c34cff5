package gradetest

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// Tutorial is the name of the lab that ships, and with which most tests grade.
const Tutorial = "networkpolicy"

// Lab is a lab with what grades it without a cluster.
type Lab struct {
	*labs.Lab
	Grader *grade.Grader
	Engine *offline.Engine
}

// Open opens a lab that ships, or one in a directory.
func Open(tb testing.TB, nameOrDir string) *Lab {
	tb.Helper()
	lab, err := open(nameOrDir)
	if err != nil {
		tb.Fatal(err)
	}
	return lab
}

// Load loads the lab whose files these are.
func Load(tb testing.TB, files fs.FS) *Lab {
	tb.Helper()
	lab, err := load(files, ".")
	if err != nil {
		tb.Fatal(err)
	}
	return lab
}

func open(nameOrDir string) (*Lab, error) {
	files, dir, err := labs.Open(nameOrDir)
	if err != nil {
		return nil, err
	}
	return load(files, dir)
}

func load(files fs.FS, dir string) (*Lab, error) {
	lab, diags := labs.Load(files, dir, labs.LoadOptions{})
	if lab == nil {
		var text bytes.Buffer // with the lines that are wrong
		return nil, errors.Join(diags.WriteText(&text, 120, false), errors.New(text.String()))
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	engine, err := offline.New(lab, policy.Config{})
	if err != nil {
		return nil, err
	}
	return &Lab{lab, grader, engine}, nil
}
