package probe

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Steps of a probe.
const (
	stepLookup  = "lookup"
	stepConnect = "connect"
)

// script runs every probe in the background. Each of their steps prints a line of JSON with the nonce, and the
// last line says that all have ended. When standard input ends, because nobody listens any more, so do they.
func (r *running) script(timeout time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, `say() { printf '{"nonce":"%s","probe":%%s,"step":"%%s","code":%%s,"text":"%%s"}\n' "$1" "$2" "$3" "$(printf '%%s' "$4" | tr '\000-\037"\\' ' ' | cut -c1-900)"; }`+"\n", r.nonce)
	// A name is looked up first, so that the two steps can be told apart; $a is its first address.
	b.WriteString(`look() { i=$1; shift; o=$("$@" 2>&1); c=$?; say $i lookup $c "$o"; a=$(printf '%s\n' "$o" | sed -n 's/^[^;].*[[:space:]]A[[:space:]]\{1,\}\([0-9.]*\)[[:space:]]*$/\1/p' | sed -n 1p); [ -n "$a" ]; }` + "\n")
	b.WriteString(`run() { i=$1; shift; o=$("$@" 2>&1); say $i connect $? "$o"; }` + "\n")
	b.WriteString("exec 3<&0\n(read -r _ <&3; kill -9 0) >/dev/null 2>&1 &\nw=$!\n")
	for i, p := range r.probes {
		b.WriteString("(" + r.steps(i, p, timeout) + ") & p=\"$p $!\"\n")
	}
	fmt.Fprintf(&b, "wait $p\nprintf '{\"nonce\":\"%s\",\"end\":true}\\n'\nkill -9 $w\n", r.nonce)
	return b.String()
}

// steps are the commands of one probe.
func (r *running) steps(i int, p Probe, timeout time.Duration) string {
	n, first := strconv.Itoa(i), r.ports[i]
	if p.Protocol == DNS {
		return "look " + n + words(lookup(p.Host, p.DNSOverTCP, first, timeout)...)
	}
	host, addr := strings.TrimSuffix(p.Host, "."), quote(p.Host)
	var before string
	if p.Learn != "" {
		before = strings.TrimSpace(words(lookup(p.Learn, false, first, time.Second)...)) + " >/dev/null 2>&1; "
	}
	if p.named() {
		before, addr = "look "+n+words(lookup(p.Host, false, first, timeout)...)+" && ", `"$a"`
	}
	return before + "run " + n + r.connect(p, host, addr, first+1, timeout)
}

// lookup asks the name server that the pod is configured with.
func lookup(name string, overTCP bool, port int, timeout time.Duration) []string {
	args := []string{"dig", "+noall", "+comments", "+answer", "+stats", "+tries=1", "+time=" + whole(timeout), "-b", "0.0.0.0#" + strconv.Itoa(port)}
	if overTCP {
		args = append(args, "+tcp")
	}
	return append(args, "-t", "A", "-q", name)
}

// connect is the command of the connection, as words of the shell; addr is one already.
func (r *running) connect(p Probe, host, addr string, port int, timeout time.Duration) string {
	target := strconv.Itoa(p.Port)
	switch p.Protocol {
	case "UDP":
		// nc would wait for more: what it prints first ends it. Its own number comes before that. It says nothing
		// of a refusal, but ends at once.
		seconds := max(2, int(timeout.Seconds()+0.5))
		echo := fmt.Sprintf(`command -v nc >/dev/null || exit 127; t=$(date +%%s)
printf 'echo %s' | sh -c 'echo $$; exec nc -u -w %d -p %d "$0" %s 2>&1' "$0" | { read -r n; head -c %d; kill $n 2>/dev/null; }
[ $(($(date +%%s)-t)) -lt %d ] || echo ' timeout'`, r.nonce, seconds, port, target, len(r.nonce), seconds)
		return words("sh", "-c", echo) + " " + addr
	case "SCTP":
		return words("/agnhost", "connect", "--protocol=sctp", "--timeout="+timeout.String()) + " " + addr + ":" + target
	case "ICMP":
		return words("ping", "-c", "1", "-W", whole(timeout)) + " " + addr
	}
	scheme := "http"
	if p.Port == 443 {
		scheme = "https"
	}
	seconds := strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64)
	args := []string{
		"curl", "-ksS", "--noproxy", "*", "--fail-early", "--connect-timeout", seconds,
		"--max-time", strconv.FormatFloat(timeout.Seconds()+2, 'f', -1, 64),
		"--local-port", fmt.Sprintf("%d-%d", port, port+portsEach-2),
		"-w", "|connect=%{time_connect} ip=%{remote_ip} http=%{http_code}|",
	}
	base := scheme + "://" + net.JoinHostPort(host, target)
	switch h := p.HTTP; {
	case h != nil:
		path := h.Path
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if h.Method == "HEAD" {
			args = append(args, "-I")
		} else if h.Method != "" {
			args = append(args, "-X", h.Method)
		}
		for _, key := range slices.Sorted(maps.Keys(h.Headers)) {
			args = append(args, "-H", key+": "+h.Headers[key])
		}
		args = append(args, "-o", "/dev/null", base+path)
	case p.Echo:
		args = append(args, base+"/echo?msg="+url.QueryEscape(r.nonce), base+"/hostname")
	default:
		args = append(args, "-o", "/dev/null", base+"/")
	}
	command := words(args...)
	if p.named() {
		command += " --resolve " + quote(host+":"+target+":") + addr
	}
	return command
}

// whole is the time-out in whole seconds, for tools that know no fractions.
func whole(timeout time.Duration) string { return strconv.Itoa(max(1, int(timeout.Seconds()+0.5))) }

// words are quoted for the shell, each with a space before it.
func words(list ...string) string {
	var b strings.Builder
	for _, w := range list {
		b.WriteString(" " + quote(w))
	}
	return b.String()
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
