package class

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
)

// probeInput reads the files of a probe; at most one of them is standard input.
type probeInput struct {
	stdin     io.Reader
	stdinUsed string // by which flag
}

func (in *probeInput) useStdin(flag string) error {
	if in.stdinUsed != "" {
		return fmt.Errorf("standard input can be used once, not for both %s and %s", in.stdinUsed, flag)
	}
	in.stdinUsed = flag
	return nil
}

// objects reads the manifests and the policies. A problem with a policy, wherever it stands, ends in
// refusedPolicies; one with anything else of the manifests in a manifest.Problems.
func (in *probeInput) objects(manifests, policies []string) ([]*manifest.Object, error) {
	clusterFiles, err := in.files("--manifests", manifests)
	if err != nil {
		return nil, err
	}
	policyFiles, err := in.files("--policies", policies)
	if err != nil {
		return nil, err
	}
	objects, problems := manifest.Parse(clusterFiles, probeLimits)
	fromPolicies, refused := manifest.Parse(policyFiles, probeLimits)
	// What is in force is never guessed: a kind of policy that is not known would be left out.
	for _, o := range objects {
		if o.Unmodelled() {
			refused = append(refused, o.NotModelled())
		}
	}
	for _, o := range fromPolicies {
		if o.Unmodelled() || o.Value == nil && strings.HasSuffix(o.Kind, "Policy") {
			refused = append(refused, o.NotModelled())
		}
	}
	var unusable manifest.Problems
	for _, p := range problems {
		if kind, _, _ := strings.Cut(p.Object, " "); manifest.MeansPolicy(kind) {
			refused = append(refused, p)
		} else {
			unusable = append(unusable, p)
		}
	}
	if len(unusable) > 0 {
		return nil, append(unusable, refused...)
	}
	if len(refused) > 0 {
		return nil, refusedPolicies{&engine.Refused{Problems: refused}}
	}
	return append(objects, fromPolicies...), nil
}

// probeLimits are generous: what is probed is one's own.
var probeLimits = manifest.Limits{
	Files: 100_000, Documents: 1_000_000, Depth: 256, Nodes: 50_000_000, Rules: 10_000_000, Entries: 50_000_000,
	FileBytes: 1 << 30, TotalBytes: 1 << 31,
}

// files reads what a flag names. The names that messages show begin with what the user wrote.
func (in *probeInput) files(flag string, paths []string) ([]manifest.File, error) {
	var all []manifest.File
	for _, name := range splitPaths(paths) {
		if name == "-" {
			if err := in.useStdin(flag); err != nil {
				return nil, err
			}
			files, err := manifest.ReadStream("-", in.stdin, probeLimits)
			if err != nil {
				return nil, err
			}
			all = append(all, files...)
			continue
		}
		files, err := manifest.ReadPath(name, probeLimits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			for i := range files {
				files[i].Name = path.Join(filepath.ToSlash(name), files[i].Name)
			}
		}
		all = append(all, files...)
	}
	return all, nil
}

// splitPaths cuts values at commas, but for a file whose name has one.
func splitPaths(values []string) []string {
	var paths []string
	for _, v := range values {
		if _, err := os.Stat(v); err == nil || !strings.Contains(v, ",") {
			paths = append(paths, v)
			continue
		}
		for p := range strings.SplitSeq(v, ",") {
			if p = strings.TrimSpace(p); p != "" {
				paths = append(paths, p)
			}
		}
	}
	return paths
}

// probeFile is what --probes names: docs/probe.md.
type probeFile struct {
	DNS    map[string][]string
	Probes []policy.Probe
}

func (in *probeInput) probes(name string) (*probeFile, error) {
	var data []byte
	var err error
	if name == "-" {
		if err = in.useStdin("--probes"); err == nil {
			data, err = io.ReadAll(in.stdin)
		}
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("--probes: %w", err)
	}
	file, err := parseProbes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// parseProbes reads the probes one by one, so that an error names the one it is in.
func parseProbes(data []byte) (*probeFile, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	at := func(what string, err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		line := 1 + bytes.Count(data[:min(int(dec.InputOffset()), len(data))], []byte("\n"))
		return fmt.Errorf("line %d: %s: %s", line, what, strings.TrimPrefix(err.Error(), "json: "))
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		if err == nil {
			err = errors.New(`must be {"probes": [...]}`)
		}
		return nil, at("the file", err)
	}
	file, seen := &probeFile{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, at("the file", err)
		}
		key := fmt.Sprint(t)
		if seen[key] {
			return nil, at(key, errors.New("is repeated"))
		}
		seen[key] = true
		switch key {
		case "dns":
			err = dec.Decode(&file.DNS)
		case "format_version":
			var v int
			if err = dec.Decode(&v); err == nil && v != 1 {
				err = fmt.Errorf("%d is not supported; use 1", v)
			}
		case "probes":
			if err := decodeProbes(dec, file, at); err != nil {
				return nil, err
			}
		default:
			err = errors.New(`unknown field: a probes file has "dns" and "probes"`)
		}
		if err != nil {
			return nil, at(key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, at("the file", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, at("the file", errors.New("unexpected text after the closing brace"))
	}
	if !seen["probes"] {
		return nil, errors.New(`the file has no "probes"`)
	}
	return file, checkDNS(file.DNS)
}

func decodeProbes(dec *json.Decoder, file *probeFile, at func(string, error) error) error {
	t, err := dec.Token()
	if err != nil {
		return at("probes", err)
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('[') {
		return at("probes", errors.New("must be a list"))
	}
	for i := 0; dec.More(); i++ {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		var p policy.Probe
		if err == nil {
			p, err = decodeProbe(raw)
		}
		if err != nil {
			return at(fmt.Sprintf("probes[%d]", i), err)
		}
		file.Probes = append(file.Probes, p)
	}
	if _, err := dec.Token(); err != nil {
		return at("probes", err)
	}
	return nil
}

// usesIPv6 reports whether the cluster or a probe has an IPv6 address: Cilium tells the two families of
// the world apart only where both are in use.
func usesIPv6(objects []*manifest.Object, file *probeFile) bool {
	isSix := func(s string) bool {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Unmap().Is6()
	}
	for _, o := range objects {
		switch v := o.Value.(type) {
		case *corev1.Pod:
			if isSix(v.Status.PodIP) || slices.ContainsFunc(v.Status.PodIPs, func(ip corev1.PodIP) bool {
				return isSix(ip.IP)
			}) {
				return true
			}
		case *corev1.Node:
			if slices.ContainsFunc(v.Status.Addresses, func(a corev1.NodeAddress) bool { return isSix(a.Address) }) {
				return true
			}
		case *discoveryv1.EndpointSlice:
			if v.AddressType == discoveryv1.AddressTypeIPv6 {
				return true
			}
		case *corev1.Service:
			if isSix(v.Spec.ClusterIP) || slices.ContainsFunc(v.Spec.ClusterIPs, isSix) {
				return true
			}
		}
	}
	for _, addrs := range file.DNS {
		if slices.ContainsFunc(addrs, isSix) {
			return true
		}
	}
	return slices.ContainsFunc(file.Probes, func(p policy.Probe) bool {
		return isSix(strings.TrimPrefix(p.From, "ip:")) || isSix(strings.TrimPrefix(p.To, "ip:"))
	})
}

// decodeProbe decodes one probe. Programs may leave fields of their own in it, but a misspelt one of ours
// would change the verdict unseen, so it is an error.
func decodeProbe(raw []byte) (p policy.Probe, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err == nil || !strings.Contains(err.Error(), "unknown field") {
		return p, err
	}
	var fields, request map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return p, err
	}
	if err := misspelt(fields, "from", "to", "port", "protocol", "icmp_type", "http", "dns_query",
		"tls_sni"); err != nil {
		return p, err
	}
	if json.Unmarshal(fields["http"], &request) == nil {
		if err := misspelt(request, "method", "path", "host", "headers"); err != nil {
			return p, fmt.Errorf("http: %w", err)
		}
	}
	p = policy.Probe{}
	return p, json.Unmarshal(raw, &p)
}

// misspelt finds a field that is nearly one of the known ones.
func misspelt(fields map[string]json.RawMessage, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, k := range known {
			if name == k || len(name) < 3 || len(name) > 20 {
				continue
			}
			if strings.HasPrefix(k, name) || wording.Nearest(name, []string{k}) != "" {
				return fmt.Errorf("unknown field %q: did you mean %q?", name, k)
			}
		}
	}
	return nil
}

// checkDNS makes sure that names have addresses.
func checkDNS(dns map[string][]string) error {
	names := make([]string, 0, len(dns))
	for name := range dns {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, addr := range dns[name] {
			if _, err := netip.ParseAddr(addr); err != nil {
				return fmt.Errorf("dns: invalid IP address %q for %s", addr, name)
			}
		}
	}
	return nil
}
