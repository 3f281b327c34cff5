package engine

import "github.com/labctl/labctl/cilium/policy/manifest"

// Refused is the error for a submission that is not graded at all: it holds what the lab does not allow,
// or what an API server would not take. Every reason is given. `labctl grade` exits with 4.
type Refused struct {
	Problems manifest.Problems
}

func (r *Refused) Error() string { return "submission refused:\n" + r.Problems.Error() }

// Unwrap gives the problems.
func (r *Refused) Unwrap() error { return r.Problems }
