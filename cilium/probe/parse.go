package probe

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/labctl/labctl/cilium/verdict"
)

// line is what a step prints.
type line struct {
	Nonce string `json:"nonce"`
	Probe int    `json:"probe"`
	Step  string `json:"step"`
	Code  int    `json:"code"`
	Text  string `json:"text"`
	End   bool   `json:"end"`
}

// Write takes the output of the script as it comes.
func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		text, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			break
		}
		r.rest = rest
		var l line
		// Other output, such as a warning of a tool, is not a line of a probe.
		if err := json.Unmarshal(text, &l); err == nil && l.Nonce == r.nonce {
			r.take(l)
		}
	}
	const longest = 1 << 16
	if len(r.rest) > longest {
		r.rest = nil
	}
	return len(p), nil
}

func (r *running) take(l line) {
	if l.End {
		r.ended = true
		for i := range r.probes {
			r.settle(i, r.results[i])
		}
		return
	}
	if l.Probe < 0 || l.Probe >= len(r.probes) || r.settled[l.Probe] {
		return
	}
	p := r.probes[l.Probe]
	words := printable(l.Text)
	if l.Code == 126 || l.Code == 127 {
		r.settle(l.Probe, Result{Verdict: verdict.ProbeError, Detail: words, Missing: true})
		return
	}
	if l.Step == stepLookup {
		result := looked(l.Code, words)
		result.Lookup = queryTime(words)
		if result.Verdict == verdict.Allowed && p.Protocol != DNS {
			r.results[l.Probe].Lookup = result.Lookup
			return // on to the connection
		}
		r.settle(l.Probe, result)
		return
	}
	r.settle(l.Probe, judge(p, r.nonce, l.Code, words))
}

// maxWords bounds what is kept of a tool's words. The longest that matters is dig's, which grows with the addresses
// of a name.
const maxWords = 4000

// printable is what a tool in a pod said, on one line. The pod is the student's: its words may be anything, and end
// up on terminals and in reports.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 4*maxWords)], " "))
	words := strings.Join(strings.Fields(text), " ")
	if len(words) > maxWords {
		words = strings.ToValidUTF8(words[:maxWords], "") + "…"
	}
	return words
}

// looked reads dig: https://bind9.readthedocs.io/en/latest/manpages.html#return-codes
func looked(code int, words string) Result {
	result := Result{Verdict: verdict.DNSFailed, Detail: words}
	switch {
	case code == 0 && strings.Contains(words, "status: NOERROR") &&
		(strings.Contains(words, " A ") || strings.Contains(words, " AAAA ")):
		_, answer, _ := strings.Cut(words, "ANSWER SECTION: ")
		answer, _, _ = strings.Cut(answer, " ;;")
		result.Verdict, result.Detail = verdict.Allowed, "an answer: "+answer
	case code == 0 && strings.Contains(words, "status: "):
		_, status, _ := strings.Cut(words, "status: ")
		status, _, _ = strings.Cut(status, ",")
		result.DNSStatus, result.Detail = status, "the name server answered "+status
		if status == "NOERROR" {
			result.Detail = "the name has no address"
		}
	case code == 9: // no answer
		result.Detail = "no answer from the name server"
	case strings.Contains(words, "address in use"), code != 0 && !strings.Contains(words, "connection refused") &&
		!strings.Contains(words, "timed out"):
		result.Verdict = verdict.ProbeError
	}
	return result
}

// queryTime finds ";; Query time: 3 msec".
func queryTime(words string) time.Duration {
	_, rest, _ := strings.Cut(words, "Query time: ")
	number, _, _ := strings.Cut(rest, " ")
	ms, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// judge makes a verdict of a tool's exit code and words.
func judge(p Probe, nonce string, code int, words string) Result {
	r := Result{Detail: words}
	switch p.Protocol {
	case "SCTP":
		if r.Verdict = agnhost(code, words); strings.Contains(words, "protocol not supported") {
			r.Detail = "SCTP is not available on the pod's node; run modprobe sctp there (" + words + ")"
		}
	case "UDP":
		switch {
		case strings.Contains(words, nonce):
			r.Verdict = verdict.Allowed
		case words == "":
			r.Verdict, r.Detail = verdict.Rejected, "refused at once"
		case words == "timeout":
			r.Verdict, r.Detail = verdict.Dropped, "no answer"
		case strings.HasPrefix(words, "nc:"), strings.HasPrefix(words, "usage"):
			r.Verdict = verdict.ProbeError
		default:
			r.Verdict, r.Detail = verdict.AppError, "the answer does not contain the nonce: "+words
		}
	case "ICMP":
		r.Verdict = verdict.Dropped
		switch {
		case code == 0:
			r.Verdict = verdict.Allowed
		case strings.Contains(words, "nreachable") || strings.Contains(words, "prohibited"):
			r.Verdict = verdict.Rejected
		case code != 1:
			r.Verdict = verdict.ProbeError // 1 is: no answer
		}
	default:
		r.Verdict = curl(code, words)
		r.Took = connectTime(words)
		if r.Verdict == verdict.Allowed {
			r.answered(p, nonce, words)
		}
	}
	return r
}

// answered holds the answer of a connection against what was asked.
func (r *Result) answered(p Probe, nonce, words string) {
	status := 0
	if _, rest, ok := strings.Cut(words, " http="); ok {
		number, _, _ := strings.Cut(rest, "|")
		status, _ = strconv.Atoi(number)
	}
	switch {
	case p.HTTP != nil:
		if want := p.HTTP.Status; status != want {
			r.Verdict, r.Detail = verdict.AppError,
				"HTTP status "+strconv.Itoa(status)+" instead of "+strconv.Itoa(want)
		}
	case p.Echo:
		// "NONCE|connect=… http=200|pod-name|connect=… http=200|"
		parts := strings.Split(words, "|")
		if strings.TrimSpace(parts[0]) != nonce {
			r.Verdict, r.Detail = verdict.AppError,
				"connected, but the server that answers is not the lab's: it does not echo the probe"
			return
		}
		if len(parts) > 2 {
			r.Server = strings.TrimSpace(parts[2])
		}
	}
	if r.Verdict == verdict.Allowed {
		_, addr, _ := strings.Cut(words, " ip=")
		addr, _, _ = strings.Cut(addr, " ")
		r.Detail = "connected to " + addr + " in " + strconv.FormatFloat(r.Took.Seconds()*1000, 'f', 1, 64) + " ms"
		if status != 0 {
			r.Detail += ", HTTP status " + strconv.Itoa(status)
		}
		if r.Server != "" {
			r.Detail += ", answered by " + r.Server
		}
	}
}

// curl reads curl's exit code: https://curl.se/libcurl/c/libcurl-errors.html. A failure after the connection
// opened, such as a reset or an unknown certificate, counts as connected.
func curl(exit int, words string) verdict.Verdict {
	switch exit {
	case 0:
		return verdict.Allowed
	case 6:
		return verdict.DNSFailed
	case 28:
		if strings.Contains(words, "esolving") {
			return verdict.DNSFailed
		}
		if connectTime(words) > 0 {
			return verdict.AppError
		}
		return verdict.Dropped
	case 7:
		if strings.Contains(words, "timed out") || strings.Contains(words, "Timeout") {
			return verdict.Dropped
		}
		return verdict.Rejected
	case 2, 3, 4, 5, 45:
		return verdict.ProbeError
	}
	if connectTime(words) > 0 {
		return verdict.Allowed
	}
	return verdict.ProbeError
}

// connectTime is how long curl's connection took to be there; 0: it never was.
func connectTime(words string) time.Duration {
	_, rest, ok := strings.Cut(words, "connect=")
	if !ok {
		return 0
	}
	value, _, _ := strings.Cut(rest, " ")
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// agnhost reads what `agnhost connect` printed.
func agnhost(exit int, words string) verdict.Verdict {
	switch {
	case exit == 0:
		return verdict.Allowed
	case strings.HasPrefix(words, "TIMEOUT"):
		return verdict.Dropped
	case strings.HasPrefix(words, "REFUSED"):
		return verdict.Rejected
	case strings.HasPrefix(words, "DNS"):
		return verdict.DNSFailed
	}
	return verdict.ProbeError
}
