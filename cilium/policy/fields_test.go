package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// fieldCase is a rule with a field of Cilium's rule types, and what labctl does with the field.
type fieldCase struct {
	with    string // the spec of a policy that has the field
	without string // the same without it, or with another value: some verdict differs
	refused string // or: Compile refuses the field, and this is in the message
	ignored string // or: no verdict can depend on it, and why
}

const (
	onWeb     = `endpointSelector: {matchLabels: {app: web}}`
	fromAny   = `{` + onWeb + `, ingress: [{}]}`
	toNobody  = `{` + onWeb + `, egress: [{}]}`
	someGroup = `[{aws: {labels: {a: b}}}]`
)

func ingress(rule string) string { return `{` + onWeb + `, ingress: [` + rule + `]}` }
func egress(rule string) string  { return `{` + onWeb + `, egress: [` + rule + `]}` }
func httpRule(rule string) string {
	return ingress(`{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [` + rule + `]}}]}`)
}
func dnsRule(rule string) string {
	return egress(`{toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [` + rule + `]}}]}`)
}
func ports(rule string) string { return ingress(`{toPorts: [{ports: [` + rule + `]}]}`) }
func denied(rule string) string {
	return `{` + onWeb + `, ingressDeny: [` + rule + `], ingress: [{fromEntities: [all]}]}`
}
func deniedTo(rule string) string {
	return `{` + onWeb + `, egressDeny: [` + rule + `], egress: [{toEntities: [all]}]}`
}
func cidrSet(rule string) string    { return egress(`{toCIDRSet: [` + rule + `]}`) }
func icmp(field string) string      { return ingress(`{icmps: [{fields: [` + field + `]}]}`) }
func toService(item string) string  { return egress(`{toServices: [` + item + `]}`) }
func selecting(terms string) string { return `{endpointSelector: ` + terms + `, ingress: [{}]}` }

// fieldCases says for every field of Cilium's rule types what labctl does with it.
var fieldCases = map[string]fieldCase{
	"Rule.EndpointSelector":  {with: fromAny, without: selecting(`{matchLabels: {app: none}}`)},
	"Rule.NodeSelector":      {with: `{nodeSelector: {}, ingress: [{}]}`, without: `{nodeSelector: {matchLabels: {a: none}}, ingress: [{}]}`},
	"Rule.Ingress":           {with: fromAny, without: toNobody},
	"Rule.IngressDeny":       {with: denied(`{fromEndpoints: [{}]}`), without: ingress(`{fromEntities: [all]}`)},
	"Rule.Egress":            {with: toNobody, without: fromAny},
	"Rule.EgressDeny":        {with: deniedTo(`{toEndpoints: [{}]}`), without: egress(`{toEntities: [all]}`)},
	"Rule.EnableDefaultDeny": {with: `{` + onWeb + `, enableDefaultDeny: {ingress: false}, ingress: [{}]}`, without: fromAny},
	"Rule.Labels":            {with: `{` + onWeb + `, labels: [{key: a, value: b}], ingress: [{}]}`, ignored: "names the rule"},
	"Rule.Description":       {with: `{` + onWeb + `, description: text, ingress: [{}]}`, ignored: "text for people"},
	"Rule.Log":               {with: `{` + onWeb + `, log: {value: text}, ingress: [{}]}`, ignored: "text in flow logs"},

	"EndpointSelector.LabelSelector":       {with: fromAny, without: selecting(`{matchLabels: {app: none}}`)},
	"EndpointSelector.Generated":           {ignored: "not part of a manifest"},
	"LabelSelector.MatchLabels":            {with: fromAny, without: selecting(`{matchLabels: {app: none}}`)},
	"LabelSelector.MatchExpressions":       {with: selecting(`{matchExpressions: [{key: app, operator: Exists}]}`), without: selecting(`{matchLabels: {app: none}}`)},
	"LabelSelectorRequirement.Key":         {with: selecting(`{matchExpressions: [{key: app, operator: Exists}]}`), without: selecting(`{matchExpressions: [{key: none, operator: Exists}]}`)},
	"LabelSelectorRequirement.Operator":    {with: selecting(`{matchExpressions: [{key: app, operator: Exists}]}`), without: selecting(`{matchExpressions: [{key: app, operator: DoesNotExist}]}`)},
	"LabelSelectorRequirement.Values":      {with: selecting(`{matchExpressions: [{key: app, operator: In, values: [web]}]}`), without: selecting(`{matchExpressions: [{key: app, operator: In, values: [none]}]}`)},
	"DefaultDenyConfig.Ingress":            {with: `{` + onWeb + `, enableDefaultDeny: {ingress: false}, ingress: [{}]}`, without: fromAny},
	"DefaultDenyConfig.Egress":             {with: `{` + onWeb + `, enableDefaultDeny: {egress: false}, egress: [{}]}`, without: toNobody},
	"LogConfig.Value":                      {with: `{` + onWeb + `, log: {value: text}, ingress: [{}]}`, ignored: "text in flow logs"},
	"IngressRule.IngressCommonRule":        {with: ingress(`{fromEndpoints: [{}]}`), without: fromAny},
	"IngressRule.ToPorts":                  {with: ports(`{port: "80"}`), without: fromAny},
	"IngressRule.ICMPs":                    {with: icmp(`{type: 8}`), without: fromAny},
	"IngressRule.Authentication":           {with: ingress(`{fromEndpoints: [{}], authentication: {mode: required}}`), refused: "mutual authentication"},
	"Authentication.Mode":                  {with: ingress(`{fromEndpoints: [{}], authentication: {mode: test-always-fail}}`), refused: "mutual authentication"},
	"IngressDenyRule.IngressCommonRule":    {with: denied(`{fromEndpoints: [{}]}`), without: ingress(`{fromEntities: [all]}`)},
	"IngressDenyRule.ToPorts":              {with: denied(`{toPorts: [{ports: [{port: "80"}]}]}`), without: ingress(`{fromEntities: [all]}`)},
	"IngressDenyRule.ICMPs":                {with: denied(`{icmps: [{fields: [{type: 8}]}]}`), without: ingress(`{fromEntities: [all]}`)},
	"IngressCommonRule.FromEndpoints":      {with: ingress(`{fromEndpoints: [{}]}`), without: fromAny},
	"IngressCommonRule.FromRequires":       {with: ingress(`{fromRequires: [a]}`), refused: "fromRequires"},
	"IngressCommonRule.FromCIDR":           {with: ingress(`{fromCIDR: [192.0.2.0/24]}`), without: fromAny},
	"IngressCommonRule.FromCIDRSet":        {with: ingress(`{fromCIDRSet: [{cidr: 192.0.2.0/24}]}`), without: fromAny},
	"IngressCommonRule.FromEntities":       {with: ingress(`{fromEntities: [world]}`), without: fromAny},
	"IngressCommonRule.FromGroups":         {with: ingress(`{fromGroups: ` + someGroup + `}`), refused: "fromGroups"},
	"IngressCommonRule.FromNodes":          {with: ingress(`{fromNodes: [{}]}`), refused: "fromNodes"},
	"EgressRule.EgressCommonRule":          {with: egress(`{toEndpoints: [{}]}`), without: toNobody},
	"EgressRule.ToPorts":                   {with: egress(`{toPorts: [{ports: [{port: "80"}]}]}`), without: toNobody},
	"EgressRule.ToFQDNs":                   {with: egress(`{toFQDNs: [{matchName: example.org}]}, {toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchPattern: "*"}]}}]}`), without: egress(`{toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchPattern: "*"}]}}]}`)},
	"EgressRule.ICMPs":                     {with: egress(`{icmps: [{fields: [{type: 8}]}]}`), without: toNobody},
	"EgressRule.Authentication":            {with: egress(`{toEndpoints: [{}], authentication: {mode: required}}`), refused: "mutual authentication"},
	"EgressDenyRule.EgressCommonRule":      {with: deniedTo(`{toEndpoints: [{}]}`), without: egress(`{toEntities: [all]}`)},
	"EgressDenyRule.ToPorts":               {with: deniedTo(`{toPorts: [{ports: [{port: "80"}]}]}`), without: egress(`{toEntities: [all]}`)},
	"EgressDenyRule.ICMPs":                 {with: deniedTo(`{icmps: [{fields: [{type: 8}]}]}`), without: egress(`{toEntities: [all]}`)},
	"EgressCommonRule.ToEndpoints":         {with: egress(`{toEndpoints: [{}]}`), without: toNobody},
	"EgressCommonRule.ToRequires":          {with: egress(`{toRequires: [a]}`), refused: "toRequires"},
	"EgressCommonRule.ToCIDR":              {with: egress(`{toCIDR: [192.0.2.0/24]}`), without: toNobody},
	"EgressCommonRule.ToCIDRSet":           {with: cidrSet(`{cidr: 192.0.2.0/24}`), without: toNobody},
	"EgressCommonRule.ToEntities":          {with: egress(`{toEntities: [world]}`), without: toNobody},
	"EgressCommonRule.ToServices":          {with: toService(`{k8sService: {serviceName: db, namespace: app}}`), without: toNobody},
	"EgressCommonRule.ToGroups":            {with: egress(`{toGroups: ` + someGroup + `}`), refused: "toGroups"},
	"EgressCommonRule.ToNodes":             {with: egress(`{toNodes: [{}]}`), refused: "toNodes"},
	"CIDRRule.Cidr":                        {with: cidrSet(`{cidr: 192.0.2.0/24}`), without: cidrSet(`{cidr: 203.0.113.0/24}`)},
	"CIDRRule.ExceptCIDRs":                 {with: cidrSet(`{cidr: 192.0.2.0/24, except: [192.0.2.0/25]}`), without: cidrSet(`{cidr: 192.0.2.0/24}`)},
	"CIDRRule.CIDRGroupRef":                {with: cidrSet(`{cidrGroupRef: documentation}`), without: cidrSet(`{cidrGroupRef: none}`)},
	"CIDRRule.CIDRGroupSelector":           {with: cidrSet(`{cidrGroupSelector: {matchLabels: {a: b}}}`), without: cidrSet(`{cidrGroupSelector: {matchLabels: {a: none}}}`)},
	"CIDRRule.Generated":                   {ignored: "not part of a manifest"},
	"Service.K8sService":                   {with: toService(`{k8sService: {serviceName: db, namespace: app}}`), without: toNobody},
	"Service.K8sServiceSelector":           {with: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: db}}}}`), without: toNobody},
	"K8sServiceNamespace.ServiceName":      {with: toService(`{k8sService: {serviceName: db, namespace: app}}`), without: toService(`{k8sService: {serviceName: none, namespace: app}}`)},
	"K8sServiceNamespace.Namespace":        {with: toService(`{k8sService: {serviceName: db, namespace: none}}`), without: toService(`{k8sService: {serviceName: db}}`)},
	"K8sServiceSelectorNamespace.Selector": {with: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: db}}}}`), without: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: none}}}}`)},
	"K8sServiceSelectorNamespace.Namespace": {
		with:    toService(`{k8sServiceSelector: {selector: {matchLabels: {a: db}}, namespace: none}}`),
		without: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: db}}}}`),
	},
	"ServiceSelector.LabelSelector": {with: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: db}}}}`), without: toService(`{k8sServiceSelector: {selector: {matchLabels: {a: none}}}}`)},
	"ServiceSelector.Generated":     {ignored: "not part of a manifest"},
	"FQDNSelector.MatchName":        {with: dnsRule(`{matchName: example.org}`), without: dnsRule(`{matchName: none.org}`)},
	"FQDNSelector.MatchPattern":     {with: dnsRule(`{matchPattern: "*.org"}`), without: dnsRule(`{matchPattern: "*.net"}`)},
	"Groups.AWS":                    {with: ingress(`{fromGroups: ` + someGroup + `}`), refused: "fromGroups"},
	"PortRule.Ports":                {with: ports(`{port: "80"}`), without: ports(`{port: "81"}`)},
	"PortRule.ServerNames":          {with: egress(`{toPorts: [{ports: [{port: "443"}], serverNames: [example.org]}]}`), without: egress(`{toPorts: [{ports: [{port: "443"}]}]}`)},
	"PortRule.TerminatingTLS":       {with: egress(`{toPorts: [{ports: [{port: "443"}], terminatingTLS: {secret: {name: s}}, rules: {http: [{}]}}]}`), refused: "TLS interception"},
	"PortRule.OriginatingTLS":       {with: egress(`{toPorts: [{ports: [{port: "443"}], originatingTLS: {secret: {name: s}}, rules: {http: [{}]}}]}`), refused: "TLS origination"},
	"PortRule.Listener":             {with: egress(`{toPorts: [{ports: [{port: "80"}], listener: {envoyConfig: {name: e, kind: CiliumEnvoyConfig}, name: l}}]}`), refused: "listener"},
	"PortRule.Rules":                {with: httpRule(`{path: /a}`), without: ports(`{port: "80"}`)},
	"PortDenyRule.Ports":            {with: denied(`{toPorts: [{ports: [{port: "80"}]}]}`), without: denied(`{toPorts: [{ports: [{port: "81"}]}]}`)},
	"PortProtocol.Port":             {with: ports(`{port: http}`), without: ports(`{port: none}`)},
	"PortProtocol.EndPort":          {with: ports(`{port: "70", endPort: 90}`), without: ports(`{port: "70"}`)},
	"PortProtocol.Protocol":         {with: ports(`{port: "80", protocol: UDP}`), without: ports(`{port: "80"}`)},
	"L7Rules.HTTP":                  {with: httpRule(`{path: /a}`), without: ports(`{port: "80"}`)},
	"L7Rules.DNS":                   {with: dnsRule(`{matchName: none.org}`), without: egress(`{toPorts: [{ports: [{port: "53"}]}]}`)},
	"PortRuleHTTP.Path":             {with: httpRule(`{path: /none}`), without: httpRule(`{}`)},
	"PortRuleHTTP.Method":           {with: httpRule(`{method: POST}`), without: httpRule(`{}`)},
	"PortRuleHTTP.Host":             {with: httpRule(`{host: none.org}`), without: httpRule(`{}`)},
	"PortRuleHTTP.Headers":          {with: httpRule(`{headers: ["X-None: y"]}`), without: httpRule(`{}`)},
	"PortRuleHTTP.HeaderMatches":    {with: httpRule(`{headerMatches: [{name: X-None, value: some}]}`), without: httpRule(`{}`)},
	"HeaderMatch.Name":              {with: httpRule(`{headerMatches: [{name: X-Some, value: some}]}`), without: httpRule(`{headerMatches: [{name: X-None, value: some}]}`)},
	"HeaderMatch.Value":             {with: httpRule(`{headerMatches: [{name: X-Some, value: some}]}`), without: httpRule(`{headerMatches: [{name: X-Some, value: another}]}`)},
	"HeaderMatch.Mismatch":          {with: httpRule(`{headerMatches: [{name: X-Some, value: another, mismatch: LOG}]}`), without: httpRule(`{headerMatches: [{name: X-Some, value: another}]}`)},
	"HeaderMatch.Secret":            {with: httpRule(`{headerMatches: [{name: X-Some, secret: {name: s}}]}`), refused: "Secret"},
	"PortRuleDNS.MatchName":         {with: dnsRule(`{matchName: example.org}`), without: dnsRule(`{matchName: none.org}`)},
	"PortRuleDNS.MatchPattern":      {with: dnsRule(`{matchPattern: "*.org"}`), without: dnsRule(`{matchPattern: "*.net"}`)},
	"ICMPRule.Fields":               {with: icmp(`{type: 8}`), without: fromAny},
	"ICMPField.Family":              {with: icmp(`{type: 8, family: IPv6}`), without: icmp(`{type: 8}`)},
	"ICMPField.Type":                {with: icmp(`{type: 3}`), without: icmp(`{type: 8}`)},
}

// partsOfRefused are types that only refused fields have, and types of other packages that have no fields to write.
var partsOfRefused = []string{"AWSGroup", "TLSContext", "Secret", "Listener", "EnvoyConfig", "IntOrString", "Label"}

const fieldsCluster = `
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: app, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 80}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: app, labels: {app: db}}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: other, labels: {app: other}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: app, labels: {a: db}}
spec: {selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: documentation, labels: {a: b}}
spec: {externalCIDRs: [192.0.2.0/24]}
`

// Every field of Cilium's rule types is handled, refused, or has nothing to do with verdicts. A field that a new version of
// Cilium adds fails this test, until it is modelled or refused.
func TestFieldsOfCiliumRules(t *testing.T) {
	t.Parallel()
	fields := map[string]reflect.StructField{}
	collectFields(reflect.TypeFor[api.Rule](), fields, map[reflect.Type]bool{})
	for name, f := range fields {
		tc, ok := fieldCases[name]
		if !ok {
			t.Errorf("nothing says what becomes of %s (%s)", name, f.Type)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.check(t, f)
		})
	}
	for name := range fieldCases {
		if _, ok := fields[name]; !ok {
			t.Errorf("Cilium has no field %s", name)
		}
	}
}

// collectFields finds the exported fields of a type and of those that it is made of, by "Type.Field".
func collectFields(typ reflect.Type, fields map[string]reflect.StructField, seen map[reflect.Type]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectFields(typ.Elem(), fields, seen)
	case reflect.Struct:
		if seen[typ] || slices.Contains(partsOfRefused, typ.Name()) || typ == reflect.TypeFor[labels.Label]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() {
				fields[typ.Name()+"."+f.Name] = f
				collectFields(f.Type, fields, seen)
			}
		}
	}
}

func (tc *fieldCase) check(t *testing.T, f reflect.StructField) {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if key == "-" {
		if tc.ignored == "" {
			t.Errorf("no manifest has the field, and still it is said to count")
		}
		return
	}
	if !strings.Contains(tc.with, key) {
		t.Fatalf("the rule does not have the field %s: %s", key, tc.with)
	}
	cfg := policy.Config{HostFirewall: true}
	objs, problems := manifest.Parse([]manifest.File{{Name: "test.yaml", Data: []byte(ruleManifest(tc.with))}}, manifest.Limits{})
	if len(problems) == 0 {
		_, problems = policy.Compile(objs[0], cfg)
	}
	switch {
	case tc.refused != "":
		if !slices.ContainsFunc(problems, func(p manifest.Problem) bool { return strings.Contains(p.Field+" "+p.Message, tc.refused) }) {
			t.Errorf("it is not refused as %q: %v", tc.refused, problems)
		}
	case problems.Err() != nil:
		t.Error(problems.Err())
	case tc.ignored == "":
		with, without := verdicts(t, tc.with), verdicts(t, tc.without)
		if with == without {
			t.Errorf("no verdict depends on the field: %s", with)
		}
	}
}

func ruleManifest(spec string) string {
	if strings.HasPrefix(spec, "{nodeSelector") {
		return ccnp("p", spec)
	}
	return strings.Replace(cnp("p", spec), "{name: p}", "{name: p, namespace: app}", 1)
}

// verdicts are those of all kinds of connections under one policy.
func verdicts(t *testing.T, spec string) string {
	t.Helper()
	e := engine(t, policy.Config{HostFirewall: true}, map[string][]string{"example.org": {"192.0.2.7"}}, fieldsCluster, ruleManifest(spec))
	echo := 8
	http := func(p policy.HTTPProbe) *policy.HTTPProbe { return &p }
	var list []string
	for _, p := range []policy.Probe{
		{From: "app/db", To: "app/web", Port: 80},
		{From: "app/db", To: "app/web", Port: 81},
		{From: "app/db", To: "app/web", Port: 80, Protocol: "UDP"},
		{From: "app/db", To: "app/web", Protocol: "ICMP", ICMPType: &echo},
		{From: "app/db", To: "app/web", Port: 80, HTTP: http(policy.HTTPProbe{Path: "/a", Host: "example.org", Headers: map[string]string{"X-Some": "some"}})},
		{From: "other/other", To: "app/web", Port: 80},
		{From: "ip:192.0.2.7", To: "app/web", Port: 80},
		{From: "ip:192.0.2.7", To: "node:n1", Port: 22},
		{From: "app/web", To: "app/db", Port: 80},
		{From: "app/web", To: "app/db", Port: 81},
		{From: "app/web", To: "app/db", Protocol: "ICMP", ICMPType: &echo},
		{From: "app/web", To: "other/other", Port: 80},
		{From: "app/web", To: "ip:192.0.2.7", Port: 443},
		{From: "app/web", To: "ip:192.0.2.7", Port: 443, TLSSNI: "none.org"},
		{From: "app/web", To: "fqdn:example.org", Port: 443},
		{From: "app/web", To: "app/db", Port: 53, Protocol: "UDP", DNSQuery: "example.org"},
	} {
		r, err := e.Evaluate(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(p.From, " > ", p.To, ": ", r.Verdict))
	}
	return strings.Join(list, "\n")
}
