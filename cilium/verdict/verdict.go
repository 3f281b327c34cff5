// Package verdict holds the verdicts on a connection: what its client sees. The lab language, both engines, grading and
// `labctl probe` use these six words; the package depends on nothing.
package verdict

// Verdict is the result of a connection, as its client sees it. The zero value is not a verdict.
type Verdict string

// A probe finds one of the first six. An expectation names one of the first five, or Denied.
const (
	Allowed    Verdict = "allowed"
	Dropped    Verdict = "dropped"     // no answer: the connect times out
	Rejected   Verdict = "rejected"    // refused at once: RST, ICMP unreachable, or no endpoint behind the service
	DNSFailed  Verdict = "dns_failed"  // the target's name did not resolve
	AppError   Verdict = "app_error"   // connected, then refused above L4: HTTP 403, DNS REFUSED
	ProbeError Verdict = "probe_error" // the probe itself failed: a lab cannot expect it

	Denied Verdict = "denied" // only in expectations: dropped or rejected
)

// Meets reports whether the verdict found meets the one expected.
func (found Verdict) Meets(want Verdict) bool {
	if want == Denied {
		return found == Dropped || found == Rejected
	}
	return found == want
}
