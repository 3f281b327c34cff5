package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/labs"
)

// TablesDOT writes tables as a Graphviz graph: a node for each app, in a box for its namespace, and an arrow for each
// pair of which something gets through, with what does. Several tables are boxes around these.
func TablesDOT(w io.Writer, tables []*flow.Table, lab *labs.Lab) error {
	var b strings.Builder
	b.WriteString("digraph labctl {\n\trankdir=LR\n\tnode [shape=box style=rounded]\n\tedge [fontsize=10]\n")
	for i, t := range tables {
		g := dotGraph{table: t, id: fmt.Sprint(i)}
		label := dotQuote(tableHeading + " · " + t.Subject)
		if len(tables) == 1 {
			fmt.Fprintf(&b, "\tlabel=%s\n\tlabelloc=t\n", label)
			g.write(&b, lab)
			continue
		}
		fmt.Fprintf(&b, "\tsubgraph %s {\n\tlabel=%s\n", dotQuote("cluster_"+g.id), label)
		g.write(&b, lab)
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

type dotGraph struct {
	table *flow.Table
	id    string // sets its nodes apart from those of other graphs
}

// dotNode is one end of connections.
type dotNode struct {
	name      string // unique in its graph
	namespace string // empty: outside the namespaces
}

// nodeOf is the node of an app, an external host, a node, the cluster's DNS or an address.
func nodeOf(lab *labs.Lab, app, external, node, dns, ip string) dotNode {
	switch {
	case app != "":
		if a := lab.App(app); a != nil {
			return dotNode{app, a.Namespace}
		}
		return dotNode{name: app}
	case external != "":
		return dotNode{name: "external " + external}
	case node != "":
		return dotNode{name: "node " + node}
	case dns != "":
		return dotNode{"DNS", "kube-system"}
	}
	return dotNode{name: ip}
}

// ends are the nodes of a connection, and what of its target is no name: the port, and how it is addressed.
func ends(lab *labs.Lab, p engine.Probe) (from, to dotNode, rest string) {
	from = nodeOf(lab, p.From.App, p.From.External, p.From.Node, "", "")
	to = nodeOf(lab, p.To.App, p.To.External, p.To.Node, p.To.DNS, p.To.IP)
	if p.From.Entity != "" {
		from = dotNode{name: p.From.String()}
	}
	if p.To.Entity != "" {
		bare := labs.Target{Entity: p.To.Entity, Via: p.To.Via}
		to = dotNode{name: engine.TargetName(bare)}
	}
	rest = strings.TrimPrefix(engine.TargetName(p.To), to.name)
	return from, to, strings.TrimLeft(rest, ": ")
}

func (g *dotGraph) write(b *strings.Builder, lab *labs.Lab) {
	type pair struct{ from, to dotNode }
	var nodes []dotNode
	var pairs []pair
	through := map[pair][]string{}
	for _, c := range g.table.Cells {
		from, to, rest := ends(lab, c.Probe)
		for _, n := range []dotNode{from, to} {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
		if c.Verdict != verdict.Allowed {
			continue
		}
		k := pair{from, to}
		if through[k] == nil {
			pairs = append(pairs, k)
		}
		through[k] = append(through[k], cmp.Or(rest, "allowed"))
	}
	slices.SortStableFunc(nodes, func(a, b dotNode) int { return cmp.Compare(a.namespace, b.namespace) })
	for i, n := range nodes {
		if n.namespace != "" && (i == 0 || nodes[i-1].namespace != n.namespace) {
			fmt.Fprintf(b, "\tsubgraph %s {\n\t\tlabel=%s\n", dotQuote("cluster_"+g.id+"_"+n.namespace), dotQuote(n.namespace))
		}
		if n.namespace == "" {
			fmt.Fprintf(b, "\t%s [label=%s shape=ellipse]\n", g.name(n), dotQuote(n.name))
			continue
		}
		fmt.Fprintf(b, "\t\t%s [label=%s]\n", g.name(n), dotQuote(n.name))
		if i == len(nodes)-1 || nodes[i+1].namespace != n.namespace {
			b.WriteString("\t}\n")
		}
	}
	for _, k := range pairs {
		fmt.Fprintf(b, "\t%s -> %s [label=%s]\n", g.name(k.from), g.name(k.to), dotLines(through[k]))
	}
}

func (g *dotGraph) name(n dotNode) string { return dotQuote(g.id + " " + n.namespace + " " + n.name) }

// dotQuote quotes an identifier of the DOT language, in which only the double quote needs an escape; a backslash is
// doubled because labels take it for one.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// dotLines quotes lines of a label.
func dotLines(lines []string) string {
	quoted := make([]string, len(lines))
	for i, l := range lines {
		quoted[i] = strings.Trim(dotQuote(l), `"`)
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}
