package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The bugs that planted.sh plants are patches of the engine, and go stale when it changes.
func TestPlantedBugsCanBePlanted(t *testing.T) {
	patches, err := filepath.Glob("testdata/planted/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatal("there are no patches", err)
	}
	for _, patch := range patches {
		path, err := filepath.Abs(patch)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("git", "apply", "--check", path)
		cmd.Dir = filepath.Join("..", "..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s no longer applies: %v\n%s", patch, err, out)
		}
	}
}
