package hubble

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/google/cel-go/cel"
)

func onInterface(f *flowpb.Flow, want *flowpb.NetworkInterface) bool {
	has := f.GetInterface()
	return has != nil && (want.GetName() == "" || want.GetName() == has.GetName()) &&
		(want.GetIndex() == 0 || want.GetIndex() == has.GetIndex())
}

func ofEvent(f *flowpb.Flow, want *flowpb.EventTypeFilter) bool {
	has := f.GetEventType()
	return has != nil && has.GetType() == want.GetType() &&
		(!want.GetMatchSubType() || has.GetSubType() == want.GetSubType())
}

// speaks is true for flows of a protocol of layer 4 or 7.
func speaks(want string) (predicate, error) {
	want = strings.ToLower(want)
	if !slices.Contains(protocols, want) {
		return nil, unknown("protocol", want, protocols)
	}
	return func(f *flowpb.Flow) bool {
		l4 := strings.ToLower(layer4(f))
		return want == l4 || want == strings.ToLower(layer7(f)) || want == "icmp" && strings.HasPrefix(l4, want)
	}, nil
}

// layer4 is the protocol of layer 4: TCP, UDP, SCTP, ICMPv4, ICMPv6, VRRP, IGMP, or empty.
func layer4(f *flowpb.Flow) string {
	message := f.GetL4().ProtoReflect()
	if field := message.WhichOneof(message.Descriptor().Oneofs().ByName("protocol")); field != nil {
		return string(field.Name())
	}
	return ""
}

// layer7 is the protocol of layer 7: dns, http, kafka, or empty.
func layer7(f *flowpb.Flow) string {
	message := f.GetL7().ProtoReflect()
	if field := message.WhichOneof(message.Descriptor().Oneofs().ByName("record")); field != nil {
		return string(field.Name())
	}
	return ""
}

// isReply does not match flows of which it is not known, but Hubble counts what was dropped as no reply.
func isReply(f *flowpb.Flow, want bool) bool {
	if f.GetIsReply() == nil {
		return !want && f.GetVerdict() == flowpb.Verdict_DROPPED
	}
	return f.GetIsReply().GetValue() == want
}

// hasReason matches drops only: what was not dropped has no reason.
func hasReason(f *flowpb.Flow, want flowpb.DropReason) bool {
	return f.GetVerdict() == flowpb.Verdict_DROPPED && f.GetDropReasonDesc() == want
}

func ipVersionOf(f *flowpb.Flow) flowpb.IPVersion { return f.GetIP().GetIpVersion() }

// hasTCPFlags is true for packets that have all the flags, and perhaps others.
func hasTCPFlags(f *flowpb.Flow, want *flowpb.TCPFlags) bool {
	has := tcpFlagNames(f.GetL4().GetTCP().GetFlags())
	return f.GetL4().GetTCP().GetFlags() != nil &&
		!slices.ContainsFunc(tcpFlagNames(want), func(name string) bool { return !slices.Contains(has, name) })
}

func tcpFlagNames(f *flowpb.TCPFlags) []string {
	var names []string
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{f.GetSYN(), "SYN"}, {f.GetACK(), "ACK"}, {f.GetRST(), "RST"}, {f.GetFIN(), "FIN"}, {f.GetPSH(), "PSH"},
		{f.GetURG(), "URG"}, {f.GetECE(), "ECE"}, {f.GetCWR(), "CWR"}, {f.GetNS(), "NS"},
	} {
		if flag.set {
			names = append(names, flag.name)
		}
	}
	return names
}

// onNode is true for flows seen on a node: [CLUSTER/]NODE, either with *. Without a node, any of the cluster is meant.
func onNode(want string) (predicate, error) {
	if want == "" || strings.Count(want, "/") > 1 {
		return nil, fmt.Errorf("node name %q: write [CLUSTER/]NODE", want)
	}
	wantCluster, wantNode, qualified := strings.Cut(want, "/")
	if !qualified {
		wantCluster, wantNode = "*", want
	}
	clusterIs, nodeIs := wildcard(orStar(wantCluster), `.*`), wildcard(orStar(wantNode), `.*`)
	return func(f *flowpb.Flow) bool {
		cluster, node, ok := strings.Cut(f.GetNodeName(), "/")
		if !ok {
			cluster, node = "default", f.GetNodeName()
		}
		return node != "" && clusterIs.MatchString(cluster) && nodeIs.MatchString(node)
	}, nil
}

func orStar(pattern string) string {
	if pattern == "" {
		return "*"
	}
	return pattern
}

// matching is true for flows that have a text in which the regular expression is found.
func matching(of func(*flowpb.Flow) (text string, ok bool)) func(string) (predicate, error) {
	return func(want string) (predicate, error) {
		pattern, err := regexp.Compile(want)
		if err != nil {
			return nil, err
		}
		return func(f *flowpb.Flow) bool {
			text, ok := of(f)
			return ok && pattern.MatchString(text)
		}, nil
	}
}

func dnsQuery(f *flowpb.Flow) (string, bool) {
	return f.GetL7().GetDns().GetQuery(), f.GetL7().GetDns() != nil
}

func httpURL(f *flowpb.Flow) (string, bool) {
	return f.GetL7().GetHttp().GetUrl(), f.GetL7().GetHttp() != nil
}

func httpPath(f *flowpb.Flow) (string, bool) {
	text, ok := httpURL(f)
	if !ok {
		return "", false
	}
	u, err := url.ParseRequestURI(text)
	if err != nil {
		return "", false
	}
	return u.Path, true
}

// statusPattern is a status, or the digits that it begins with and a plus sign.
var statusPattern = regexp.MustCompile(`^[1-5]([0-9]{2}|[0-9]?\+)$`)

func httpStatus(want string) (predicate, error) {
	if !statusPattern.MatchString(want) {
		return nil, fmt.Errorf("HTTP status %q: use a status such as 404, or 5+ for all from 500 to 599", want)
	}
	prefix := strings.TrimSuffix(want, "+")
	return func(f *flowpb.Flow) bool {
		code := f.GetL7().GetHttp().GetCode()
		return code != 0 && strings.HasPrefix(strconv.FormatUint(uint64(code), 10), prefix)
	}, nil
}

func httpMethod(f *flowpb.Flow, want string) bool {
	http := f.GetL7().GetHttp()
	return http != nil && strings.EqualFold(http.GetMethod(), want)
}

func httpHeader(f *flowpb.Flow, want *flowpb.HTTPHeader) bool {
	return slices.ContainsFunc(f.GetL7().GetHttp().GetHeaders(), func(h *flowpb.HTTPHeader) bool {
		return h.GetKey() == want.GetKey() && h.GetValue() == want.GetValue()
	})
}

// celEnv knows the flow as _flow, and its enumerations by their names: Verdict.DROPPED.
var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.Container("flow"), cel.Types(&flowpb.Flow{}),
		cel.Variable("_flow", cel.ObjectType("flow.Flow")))
})

// celExpressions is true for flows for which any expression is true.
func celExpressions(ctx context.Context, filter *flowpb.FlowFilter) (predicate, error) {
	experimental := filter.GetExperimental()
	if len(experimental.ProtoReflect().GetUnknown()) > 0 {
		return nil, errors.New("it has fields that labctl does not know")
	}
	expressions := experimental.GetCelExpression()
	if len(expressions) == 0 {
		return func(*flowpb.Flow) bool { return true }, nil
	}
	var all []predicate
	for _, expression := range expressions {
		p, err := celExpression(ctx, expression)
		if err != nil {
			return nil, fmt.Errorf("CEL expression %q: %w", expression, err)
		}
		all = append(all, p)
	}
	return anyPredicate(all), nil
}

func celExpression(ctx context.Context, expression string) (predicate, error) {
	env, err := celEnv()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("it is a %s, but has to be true or false", ast.OutputType())
	}
	program, err := env.Program(ast, cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, err
	}
	return func(f *flowpb.Flow) bool {
		// An expression that fails for a flow, such as for an index that it has not, is not true for it.
		result, _, err := program.ContextEval(ctx, map[string]any{"_flow": f})
		return err == nil && result.Value() == true
	}, nil
}
