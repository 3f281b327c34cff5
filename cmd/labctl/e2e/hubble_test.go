//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
)

// combinations are filters for which labctl observe and hubble observe must show the same flows.
var combinations = []string{
	"-n default", "-A --verdict DROPPED", "-A --type drop", "-A --type policy-verdict", "-A --type trace:to-endpoint",
	"-A --type trace:to-stack --type drop", "--from-pod default/frontend", "--to-pod default/frontend --not-reply",
	"--pod default/backend", "--from-pod default/frontend --to-pod kube-system/coredns",
	"--from-namespace default --to-namespace kube-system", "--to-namespace default", "-n default -n batch --protocol tcp",
	"--label app=frontend", "--from-label app=frontend --to-label k8s-app=kube-dns", "--label reserved:host --port 8080",
	"--ip 10.244.0.0/16 --protocol udp", "--from-ip 10.244.1.0/24 --to-port 53", "--from-port 53", "--to-port 8080 --reply",
	"-n default --port 8080 --port 53", "-n default --not --verdict FORWARDED",
	"-n default --not --from-label app=frontend --not --to-port 53", "-A --drop-reason-desc POLICY_DENIED",
	"-n default --tcp-flags SYN,ACK --traffic-direction ingress", "--workload Deployment/frontend",
	"--identity host --protocol tcp", "--service default/backend", "-n default --http-status 200",
	`--allowlist {"source_pod":["default/worker"]} --denylist {"reply":[true]}`, "-n default -4 --unencrypted",
	"--cel-expression _flow.l4.TCP.destination_port==8080u",
}

// hubble compares labctl with the hubble command, which reaches the relay through labctl.
func (s *suite) hubble(t *testing.T) {
	s.lab(t)
	s.run(t, 0, "hubble", "status", "--instance", s.name).has(t, `✓ hubble relay`, `nodes connected: 2 of 2`)
	s.run(t, 0, "hubble", "list", "nodes", "--instance", s.name).has(t, s.node("control-plane")+` +connected`, s.node("worker")+` +connected`)
	forward := s.start(t, "hubble", "port-forward", "--instance", s.name, "--port", "0")
	defer forward.interrupt(t)
	var args []string
	eventually(t, 30*time.Second, 100*time.Millisecond, func() error {
		line := regexp.MustCompile(`(?m)^  hubble observe (.*)$`).FindStringSubmatch(forward.stdout.String())
		if line == nil {
			return fmt.Errorf("%s prints no command: %s", forward.line, forward.stdout.String())
		}
		args = strings.Fields(line[1])
		return nil
	})
	s.kubectl(t, "apply", "-f", s.solution("02-backend-ingress-deny"))
	defer s.run(t, 0, "reset", s.name)
	s.try(t, "default/frontend", "http://backend", timesOut)
	for _, filters := range combinations {
		// A flow of a busy node may still arrive between the two.
		eventually(t, 30*time.Second, time.Second, func() error { return s.sameFlows(t, args, filters) })
	}
}

// sameFlows compares what hubble, with the arguments that lead to the relay, and labctl show of the same window of the past.
func (s *suite) sameFlows(t *testing.T, args []string, filters string) error {
	t.Helper()
	now := time.Now().UTC()
	flags := append(strings.Fields(filters), "--since", now.Add(-40*time.Second).Format(time.RFC3339),
		"--until", now.Add(-5*time.Second).Format(time.RFC3339), "-o", "json")
	theirs := uuids(t, command(t, "hubble", slices.Concat([]string{"observe"}, args, flags)...))
	ours := uuids(t, s.run(t, 0, append([]string{"observe", "--instance", s.name}, flags...)...).stdout)
	if !slices.Equal(ours, theirs) {
		return fmt.Errorf("%s: labctl shows %d flows, hubble %d", filters, len(ours), len(theirs))
	}
	return nil
}

// uuids are those of the flows that were printed as JSON, sorted.
func uuids(t *testing.T, lines string) (ids []string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		res := new(observerpb.GetFlowsResponse)
		if err := json.Unmarshal([]byte(line), res); err != nil {
			t.Fatal(err)
		}
		if res.GetFlow() != nil {
			ids = append(ids, res.GetFlow().GetUuid())
		}
	}
	slices.Sort(ids)
	return ids
}
