package grade

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/labctl/labctl/labs"
)

// taskPlan is what has to be asked to grade a task: each connection once, however many checks name it.
type taskPlan struct {
	probes     []Probe
	objectives []objectivePlan
	most       *big.Rat // points of all objectives but bonus ones
	max        float64  // the same, as it is shown
}

type objectivePlan struct {
	*labs.Objective
	points *big.Rat
	worth  float64 // the same, as it is shown
	checks []plannedCheck
}

// plannedCheck is a check before its answer: the probe, invariant or object assertion that it asks.
type plannedCheck struct {
	Check         // Kind, Name, From, To and Expected
	probe     int // index of taskPlan.probes; -1: none
	invariant *labs.Invariant
	object    *labs.ObjectAssertion
	because   string
}

// planTask expands the blocks of a task's objectives into checks.
func planTask(t *labs.Task) taskPlan {
	plan := taskPlan{most: new(big.Rat)}
	index := make(map[string]int)
	probe := func(p Probe) int {
		key := probeKey(p)
		i, ok := index[key]
		if !ok {
			i = len(plan.probes)
			index[key] = i
			plan.probes = append(plan.probes, p)
		}
		return i
	}
	for i := range t.Objectives {
		o := &t.Objectives[i]
		op := objectivePlan{Objective: o, points: rat(o.Points)}
		op.worth = shown(op.points)
		if !o.Bonus {
			plan.most.Add(plan.most, op.points)
		}
		add := func(kind CheckKind, p Probe, because string) {
			op.checks = append(op.checks, plannedCheck{
				Check:   Check{Kind: kind, From: p.From.String(), To: TargetName(p.To), Expected: p.Want},
				probe:   probe(p),
				because: because,
			})
		}
		for _, e := range o.Expect {
			for _, from := range e.From {
				for _, to := range e.To {
					add(CheckExpect, Probe{From: from, To: to, Want: e.Verdict}, e.Because)
				}
			}
		}
		for j := range o.Matrices {
			for _, p := range matrixCells(&o.Matrices[j]) {
				add(CheckMatrix, p, "")
			}
		}
		for j := range o.Invariants {
			inv := &o.Invariants[j]
			op.checks = append(op.checks, plannedCheck{
				Check: Check{Kind: CheckInvariant, Name: inv.Name, Expected: labs.Denied}, probe: -1, invariant: inv,
			})
		}
		for j := range o.Objects {
			a := &o.Objects[j]
			op.checks = append(op.checks, plannedCheck{
				Check: Check{Kind: CheckObject, Name: a.Name}, probe: -1, object: a, because: a.Message,
			})
		}
		plan.objectives = append(plan.objectives, op)
	}
	plan.max = shown(plan.most)
	return plan
}

// matrixCells returns the cells of a truth table. An app's connection to itself is a cell only where the
// table allows it: a pod always reaches itself, whatever policies say.
func matrixCells(m *labs.Matrix) []Probe {
	otherwise := m.Otherwise
	if otherwise == "" {
		otherwise = labs.Denied
	}
	allowed := make(map[string]bool, len(m.Allow))
	for _, p := range m.Allow {
		allowed[probeKey(Probe{From: p.From, To: p.To})] = true
	}
	var cells []Probe
	for _, from := range m.From {
		for _, to := range m.To {
			p := Probe{From: from, To: to}
			switch {
			case allowed[probeKey(p)]:
				p.Want = labs.Allowed
			case from.App != "" && from.App == to.App:
				continue
			default:
				p.Want = otherwise
			}
			cells = append(cells, p)
		}
	}
	return cells
}

// probeKey is the same for probes that ask the same.
func probeKey(p Probe) string {
	t := p.To
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%s|%s|%s|%s|%s|%s|%s|%d|%s|", p.From, p.Want, t.App, t.External, t.Node, t.IP, t.DNS, via(t), t.PortName, t.Port, protocol(t))
	if t.ICMPType != nil {
		fmt.Fprintf(&b, "icmp %d|", *t.ICMPType)
	}
	if h := t.HTTP; h != nil {
		fmt.Fprintf(&b, "%s %s %d %v", h.Method, h.Path, h.Status, h.Headers) // fmt prints maps in key order
	}
	return b.String()
}

// via is how the target is addressed; apps are by the name of their service unless the lab says otherwise.
func via(t labs.Target) labs.Via {
	if t.Via == "" && t.App != "" {
		return labs.ViaService
	}
	return t.Via
}

func protocol(t labs.Target) string {
	if t.Protocol == "" {
		return "TCP"
	}
	return strings.ToUpper(t.Protocol)
}

// TargetName is how reports write a target: "backend:8080", "backend:53/UDP by pod IP", "external internet:443",
// "external internet:443 by IP", "node worker:22", "10.0.0.1:80", "DNS kubernetes.io", "DNS kubernetes.io over TCP".
func TargetName(t labs.Target) string {
	if t.DNS != "" {
		name := "DNS " + t.DNS
		if protocol(t) == "TCP" && t.Protocol != "" {
			name += " over TCP"
		}
		return name
	}
	var name string
	switch {
	case t.App != "":
		name = t.App
	case t.External != "" && t.IP != "":
		name = "external " + t.External + " (" + t.IP + ")"
	case t.External != "":
		name = "external " + t.External
	case t.Node != "":
		name = "node " + t.Node
	case strings.Contains(t.IP, ":"):
		name = "[" + t.IP + "]"
	default:
		name = t.IP
	}
	proto := protocol(t)
	switch {
	case strings.HasPrefix(proto, "ICMP"):
		name += " " + proto
		if t.ICMPType != nil {
			name += " type " + strconv.Itoa(*t.ICMPType)
		}
	default:
		if t.Port != 0 {
			name += ":" + strconv.Itoa(t.Port)
		}
		if proto != "TCP" {
			name += "/" + proto
		}
	}
	if h := t.HTTP; h != nil {
		method, path := h.Method, h.Path
		if method == "" {
			method = "GET"
		}
		if path == "" {
			path = "/"
		}
		name += " " + method + " " + path
	}
	switch {
	case t.App != "" && t.Via == labs.ViaIP:
		name += " by pod IP"
	case t.App != "" && t.Via == labs.ViaCluster:
		name += " by cluster IP"
	case t.External != "" && t.IP == "" && t.Via == labs.ViaIP:
		name += " by IP"
	}
	return name
}

// rat is the number as it is written in decimals, exactly.
func rat(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return r
}
