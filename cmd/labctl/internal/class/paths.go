package class

import (
	"fmt"

	"github.com/spf13/pflag"
)

// pathLists are flags that take several paths separated by spaces: --manifests a b --policies c. The flag parser gives
// a flag one value and leaves the rest as arguments. So they go to the last of these flags before them.
type pathLists struct {
	flags  *pflag.FlagSet
	last   *[]string // list of the last flag so far
	given  int       // arguments that are in a list, or before the first flag
	before int       // arguments before the first flag
}

// list makes a flag that fills to.
func (p *pathLists) list(to *[]string) pflag.Value { return &pathList{p, to} }

// pathList implements pflag.Value.
type pathList struct {
	lists *pathLists
	to    *[]string
}

func (l *pathList) String() string { return "" }
func (l *pathList) Type() string   { return "paths" }

func (l *pathList) Set(value string) error {
	p := l.lists
	if p.last == nil {
		p.before, p.given = p.flags.NArg(), p.flags.NArg()
	}
	p.assign(p.flags.Args())
	*l.to, p.last = append(*l.to, value), l.to
	return nil
}

func (p *pathLists) assign(args []string) {
	if p.last != nil {
		*p.last = append(*p.last, args[p.given:]...)
		p.given = len(args)
	}
}

// finish assigns the arguments after the last flag, and refuses those before the first.
func (p *pathLists) finish(args []string) error {
	if len(args) > 0 && (p.last == nil || p.before > 0) {
		return fmt.Errorf("unexpected argument %q; name files with --manifests, --policies and --probes", args[0])
	}
	p.assign(args)
	return nil
}
