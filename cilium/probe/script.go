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

// Functions of the script. They start no process where the shell can do without, since dozens of probes run at the
// same time. say prints a line; look looks a name up, of which one without an address of IPv4 may have one of IPv6;
// addr finds the first address in what dig printed, $o, and makes it $a, and as part of a URL $b.
const (
	sayLine = `IFS="$(printf ' \t\n\r.')"; IFS=${IFS%%.}; set -f
say() { s=$2 c=$3 n=$1; set -- $4; t="$*"; case $t in *[!\ -~]*|*[\"\\]*) t=$(printf '%%s' "$t" | tr -c '\040-\176' ' ' | tr '"\\' '  ');; esac
[ ${#t} -lt 1000 ] || t=$(printf '%%s' "$t" | cut -c1-900); printf '{"nonce":"%s","probe":%%s,"step":"%%s","code":%%s,"text":"%%s"}\n' $n $s $c "$t"; }`
	addressOf = `addr() { a= k=; for w in $o; do case $k in A|AAAA) a=$w; break;; esac; k=$w; done; b=$a; case $a in *:*) b="[$a]";; esac; [ -n "$a" ]; }`
	lookUp    = `look() { i=$1; shift; o=$("$@" -t A 2>&1); c=$?; if [ $c = 0 ] && ! addr; then case $o in *NOERROR*) o=$("$@" -t AAAA 2>&1); c=$?;; esac; fi; say $i lookup $c "$o"; addr; }`
)

// script runs every probe in the background. Each of their steps prints a line of JSON with the nonce, and the last
// line says that all have ended. When standard input ends, because nothing reads the output any more, they end too:
// the tools by SIGTERM, and the shells by waiting for their tools. Orphans would never be reaped, since PID 1 in a
// pod rarely calls wait().
func (r *running) script(timeout time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, sayLine+"\n", r.nonce)
	// A name is looked up first, to distinguish the two steps.
	b.WriteString(addressOf + "\n" + lookUp + "\n")
	b.WriteString(`run() { i=$1; shift; o=$("$@" 2>&1); say $i connect $? "$o"; }` + "\n")
	b.WriteString("exec 3<&0\ntrap : TERM\n(read -r _ <&3; kill -TERM 0) >/dev/null 2>&1 &\nw=$!\n")
	for i, p := range r.probes {
		b.WriteString("(trap 'exit 1' TERM; " + r.steps(i, p, timeout) + ") & p=\"$p $!\"\n")
	}
	// A signal ends the first wait, not the probes.
	fmt.Fprintf(&b,
		"wait $p; wait $p\nkill -9 $w 2>/dev/null; wait $w 2>/dev/null\nprintf '{\"nonce\":\"%s\",\"end\":true}\\n'\n", r.nonce)
	return b.String()
}

// steps are the commands of one probe.
func (r *running) steps(i int, p Probe, timeout time.Duration) string {
	n, first := strconv.Itoa(i), r.ports[i]
	if p.Protocol == DNS {
		return "look " + n + words(lookup(p.Host, p.DNSOverTCP, first, timeout)...)
	}
	host, addr := strings.TrimSuffix(p.Host, "."), quote(p.Host)
	if p.Protocol == "SCTP" && strings.Contains(p.Host, ":") {
		addr = quote("[" + p.Host + "]")
	}
	var before string
	if p.Learn != "" {
		before = strings.TrimSpace(words(lookup(p.Learn, false, first, time.Second)...)) + " >/dev/null 2>&1; "
	}
	if p.named() {
		before, addr = "look "+n+words(lookup(p.Host, false, first, timeout)...)+" && ", `"$a"`
		if p.Protocol == "" || p.Protocol == "SCTP" {
			addr = `"$b"`
		}
	}
	return before + "run " + n + r.connect(p, host, addr, first+1, timeout)
}

// lookup asks the name server that the pod is configured with.
func lookup(name string, overTCP bool, port int, timeout time.Duration) []string {
	args := []string{
		"dig", "+noall", "+comments", "+answer", "+stats", "+tries=1", "+time=" + whole(timeout), "-b",
		"0.0.0.0#" + strconv.Itoa(port),
	}
	if overTCP {
		args = append(args, "+tcp")
	}
	return append(args, "-q", name)
}

// connect is the command of the connection, as words of the shell; addr is one already.
func (r *running) connect(p Probe, host, addr string, port int, timeout time.Duration) string {
	target := strconv.Itoa(p.Port)
	switch p.Protocol {
	case "UDP":
		// nc would wait for more: what it prints first ends it. Its own number comes before that. It says nothing
		// of a refusal, but ends at once.
		seconds := max(2, int(timeout.Seconds()+0.5))
		echo := fmt.Sprintf(`command -v nc >/dev/null || exit 127; trap : TERM; t=$(date +%%s)
printf 'echo %s' | sh -c 'echo $$; exec nc -u -w %d -p %d "$0" %s 2>&1' "$0" | { trap : TERM; read -r n; head -c %d; kill $n 2>/dev/null; }
[ $(($(date +%%s)-t)) -lt %d ] || echo ' timeout'`, r.nonce, seconds, port, target, len(r.nonce), seconds)
		return words("sh", "-c", echo) + " " + addr
	case "SCTP":
		return words("/agnhost", "connect", "--protocol=sctp", "--timeout="+timeout.String()) + " " + addr +
			":" + target
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
