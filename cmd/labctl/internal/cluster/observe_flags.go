package cluster

import (
	"errors"
	"fmt"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	hubtime "github.com/cilium/cilium/hubble/pkg/time"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
)

// observeFlags are what `labctl observe` shows, and how.
type observeFlags struct {
	filters     hubble.Filters
	allow, deny []string // filters in JSON

	since, until string
	last, first  int
	all, follow  bool
	input        string // a file of flows; "-": standard input

	format                         string
	replies, raw                   bool
	numeric, nodeName, policyNames bool

	lab *labs.Lab // whose pods are shown, if no filter says whose
}

// filterFlag is one of the filters as a flag.
type filterFlag struct {
	filters *hubble.Filters
	kind    hubble.FilterKind
}

func (f filterFlag) Set(value string) error {
	if f.kind.Arg == "" && value != "true" {
		return errors.New("it takes no value")
	}
	return f.filters.Set(f.kind.Name, value)
}

func (f filterFlag) String() string { return "" }
func (f filterFlag) Type() string   { return strings.ToLower(f.kind.Arg) }

func (f *observeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "flows since this `TIME`: 90s, 5m or 1h (ago), 2006-01-02 or 2006-01-02T15:04:05Z")
	flags.StringVar(&f.until, "until", "", "flows until this `TIME`")
	flags.IntVar(&f.last, "last", 0, "the last `N` flows of all nodes together")
	flags.IntVar(&f.first, "first", 0, "the first `N` flows of all nodes together")
	flags.BoolVar(&f.all, "all", false, "all flows that Hubble has kept")
	flags.BoolVarP(&f.follow, "follow", "f", false, "keep printing new flows, until Ctrl-C")
	flags.BoolVar(&f.replies, "replies", false, "show replies in the text too")
	flags.StringVar(&f.input, "input-file", "", "read flows from this `FILE` in JSON, one per line, instead of the lab; -: standard input")
	flags.BoolVar(&f.raw, "print-raw-filters", false, "print the filters for --allowlist and --denylist, and no flows")
	flags.BoolVar(&f.nodeName, "print-node-name", false, "name the node that saw the flow, with -o compact, dict or tab")
	flags.BoolVar(&f.policyNames, "print-policy-names", false, "name the policies that decided, with -o compact, dict or tab")
	flags.BoolVar(&f.numeric, "numeric", false, "show addresses instead of names, with -o compact, dict or tab")

	for _, kind := range hubble.FilterKinds() {
		help := kind.Help
		if len(kind.Values) > 0 {
			help += ": " + strings.Join(kind.Values, ", ")
		}
		if kind.Arg != "" {
			help = "`" + kind.Arg + "`: " + help
		}
		flag := flags.VarPF(filterFlag{&f.filters, kind}, kind.Name, kind.Short, help)
		if kind.Arg == "" {
			flag.NoOptDefVal = "true"
		}
		cli.Under(cmd, cli.FlagsOfFlows, kind.Name)
		if len(kind.Values) > 0 {
			cli.Complete(cmd, kind.Name, kind.Values...)
		}
	}
	cli.Complete(cmd, "drop-reason-desc", hubble.DropReasons()...)
	flags.StringArrayVar(&f.allow, "allowlist", nil, "flows that match one of these `FILTERS` in JSON, see --print-raw-filters")
	flags.StringArrayVar(&f.deny, "denylist", nil, "leave out flows that match one of these `FILTERS` in JSON")
	cli.Under(cmd, cli.FlagsOfFlows, "allowlist", "denylist")
}

// query is what the flags ask for.
func (f *observeFlags) query(now time.Time) (*hubble.Query, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.lab != nil {
		for _, app := range f.lab.Apps {
			if err := f.filters.Set("app", app.Name); err != nil {
				return nil, err
			}
		}
	}
	q := &hubble.Query{Last: f.last, First: f.first, Follow: f.follow}
	var err error
	if q.Allow, q.Deny, err = f.filters.Lists(); err != nil {
		return nil, err
	}
	for _, raw := range []struct {
		flag  string
		texts []string
		list  *[]*flowpb.FlowFilter
	}{{"allowlist", f.allow, &q.Allow}, {"denylist", f.deny, &q.Deny}} {
		for _, text := range raw.texts {
			more, err := hubble.ParseFilters(text)
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", raw.flag, err)
			}
			*raw.list = append(*raw.list, more...)
		}
	}
	if q.Since, err = parseTime(f.since, now); err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = parseTime(f.until, now); err != nil {
		return nil, fmt.Errorf("--until: %w", err)
	}
	some := f.all || f.follow || f.input != "" || f.first > 0 || !q.Since.IsZero() || !q.Until.IsZero()
	if q.Last == 0 && !some {
		q.Last = 20
	}
	return q, nil
}

// check refuses flags that contradict each other.
func (f *observeFlags) check() error {
	if f.last < 0 || f.first < 0 {
		return errors.New("--last and --first: use a number of flows from 1")
	}
	set := map[string]bool{
		"last": f.last > 0, "first": f.first > 0, "all": f.all, "follow": f.follow, "until": f.until != "",
		"input-file": f.input != "", "output " + f.format: f.format == "tab" || f.format == "table",
	}
	for _, pair := range [][2]string{
		{"first", "last"}, {"first", "all"}, {"last", "all"}, {"first", "follow"}, {"until", "follow"},
		{"input-file", "follow"}, {"output tab", "follow"}, {"output table", "follow"},
	} {
		if set[pair[0]] && set[pair[1]] {
			return fmt.Errorf("--%s and --%s cannot be combined", pair[0], pair[1])
		}
	}
	return nil
}

// layouts are the forms of a time that are accepted besides a duration.
var layouts = []string{time.RFC3339, hubtime.YearMonthDayHourMinute, hubtime.YearMonthDayHour, hubtime.YearMonthDay}

// parseTime reads a time, or how long ago it was; empty: the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("invalid time %q: use a duration such as 5m, or a time such as 2006-01-02T15:04:05Z", text)
}

// appPods are the pods of a lab's app, or those whose names begin with NAMESPACE/POD.
func appPods(lab *labs.Lab, name string) ([]hubble.Pods, error) {
	if namespace, pod, ok := strings.Cut(name, "/"); ok {
		return []hubble.Pods{{Namespace: namespace, Name: pod}}, nil
	}
	var (
		pods  []hubble.Pods
		known []string
	)
	for _, app := range lab.Apps {
		known = append(known, app.Name)
		if app.Name == name {
			kind, workload, _ := strings.Cut(app.Workload, "/")
			pods = append(pods, hubble.Pods{Namespace: app.Namespace, Kind: kind, Name: workload})
		}
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("the lab has no app %q; it has %s (name a pod as NAMESPACE/POD)",
			name, strings.Join(known, ", "))
	}
	return pods, nil
}
