package labs_test

import (
	"os"
	"testing"

	"github.com/labctl/labctl/labs"
)

func TestShippedLabsLoad(t *testing.T) {
	t.Parallel()
	for _, name := range labs.Shipped() {
		fsys, _, err := labs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lab, diags := labs.Load(fsys, ".", labs.LoadOptions{ToolVersion: "0.1.0"})
		if diags.HasErrors() {
			_ = diags.WriteText(os.Stderr, 100, false)
			t.Fatalf("%s does not load", name)
		}
		t.Log(lab.Name, lab.Digest, len(lab.Tasks), len(lab.Apps))
	}
}

func TestDesignExampleLoads(t *testing.T) {
	t.Parallel()
	lab, diags := labs.Load(os.DirFS("testdata/valid-design"), ".", labs.LoadOptions{ToolVersion: "0.1.0"})
	if diags.HasErrors() {
		_ = diags.WriteText(os.Stderr, 100, false)
		t.Fatal("does not load")
	}
	t.Logf("%+v", lab)
}
