package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// exitRefused is labctl's exit code for policies that the API server or Cilium would refuse.
const exitRefused = 4

// answerSide is one side of a connection in labctl's output.
type answerSide struct {
	Verdict  string `json:"verdict"`
	Decision string `json:"decision"`
	Rule     *struct {
		Policy struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"policy"`
		Rule string `json:"rule"`
	} `json:"rule"`
}

// result is one probe in labctl's output.
type result struct {
	Probe
	Verdict  string      `json:"verdict"`
	Reason   string      `json:"reason"`
	Egress   *answerSide `json:"egress"`
	Ingress  *answerSide `json:"ingress"`
	Backends []result    `json:"backends"`
}

// report is what `labctl probe` answered.
type report struct {
	results []result
	refused bool
	text    string // what it said when it refused
}

// labctl is the program under test.
type labctl struct {
	binary string
}

// probe runs `labctl probe` on the files of a case in dir.
func (l labctl) probe(ctx context.Context, dir string, want int) (*report, error) {
	cmd := exec.CommandContext(ctx, l.binary, "probe", "--offline",
		"--manifests", filepath.Join(dir, manifestsFile), "--policies", filepath.Join(dir, policiesFile),
		"--probes", filepath.Join(dir, probesFile), "-o", "json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitRefused {
		return &report{refused: true, text: string(bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)))}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", l.binary, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var out struct {
		FormatVersion int      `json:"format_version"`
		Results       []result `json:"results"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return nil, fmt.Errorf("the output of %s: %w", l.binary, err)
	}
	if out.FormatVersion != 1 || len(out.Results) != want {
		return nil, fmt.Errorf("%s: format_version %d with %d results, want 1 with %d",
			l.binary, out.FormatVersion, len(out.Results), want)
	}
	return &report{results: out.Results}, nil
}
