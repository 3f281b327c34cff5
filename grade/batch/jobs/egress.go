package jobs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/labctl/labctl/grade/batch/intake"
)

// notPublic are addresses that no public storage has; among them is the one where a cloud's machines get
// their credentials.
var notPublic = []string{"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}

// public is every address of the internet.
func public() []Egress {
	return []Egress{
		{CIDR: "0.0.0.0/0", Except: notPublic, Port: intstr.FromInt32(443)},
		{CIDR: "::/0", Except: []string{"fc00::/7", "fe80::/10"}, Port: intstr.FromInt32(443)},
	}
}

// EndpointError says that the addresses of a storage's endpoint are not known here.
type EndpointError struct {
	Endpoint string
	Err      error
}

func (e *EndpointError) Error() string {
	return "look up the endpoint " + e.Endpoint + ": " + e.Err.Error()
}
func (e *EndpointError) Unwrap() error { return e.Err }

// EgressTo says what workers must reach for the storages of URLs: the pods behind a service of the cluster,
// the addresses of an endpoint, or, for the clouds', the internet at port 443.
func EgressTo(ctx context.Context, client kubernetes.Interface, namespace string, urls ...string) ([]Egress, error) {
	var all []Egress
	seen := map[string]bool{}
	for _, u := range urls {
		if _, local := intake.LocalPath(u); local {
			continue
		}
		endpoint := endpointOf(u)
		if seen[endpoint] {
			continue
		}
		seen[endpoint] = true
		more, err := egressTo(ctx, client, namespace, endpoint)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// endpointOf is the endpoint that a URL names; "": its cloud's.
func endpointOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	q := u.Query()
	if e := q.Get("endpoint"); e != "" {
		return e
	}
	if domain := q.Get("domain"); u.Scheme == "azblob" && q.Get("localemu") == "true" && domain != "" {
		return "http://" + domain
	}
	return ""
}

func egressTo(ctx context.Context, client kubernetes.Interface, namespace, endpoint string) ([]Egress, error) {
	if endpoint == "" {
		return public(), nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("endpoint=%s: want a URL such as http://minio.storage.svc:9000", endpoint)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("endpoint=%s: want http:// or https:// and perhaps a port", endpoint)
	}
	if e, err := service(ctx, client, namespace, u.Hostname(), int32(number)); e != nil || err != nil {
		return e, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, &EndpointError{endpoint, err}
	}
	var all []Egress
	for _, a := range addrs {
		a = a.Unmap()
		if a.IsGlobalUnicast() && !a.IsPrivate() {
			return publicEgress(number), nil // a name on the internet changes its addresses
		}
		if a.IsLoopback() {
			return nil, fmt.Errorf("endpoint=%s: pods cannot reach an address of this machine's own: use one that "+
				"both can", endpoint)
		}
		all = append(all, Egress{CIDR: netip.PrefixFrom(a, a.BitLen()).String(), Port: intstr.FromInt32(int32(number))})
	}
	return all, nil
}

func publicEgress(port uint64) []Egress {
	all := public()
	for i := range all {
		all[i].Port = intstr.FromInt32(int32(port))
	}
	return all
}

// service finds the pods behind a name of a service; nil: it is none.
func service(ctx context.Context, client kubernetes.Interface, namespace, host string, port int32) ([]Egress, error) {
	parts := strings.Split(host, ".")
	switch {
	case len(parts) == 1:
	case len(parts) == 2, len(parts) >= 3 && parts[2] == "svc":
		namespace = parts[1]
	default:
		return nil, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, nil
	}
	svc, err := client.CoreV1().Services(namespace).Get(ctx, parts[0], metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the service %s: %w", host, err)
	}
	if len(svc.Spec.Selector) == 0 {
		return nil, nil
	}
	for _, p := range svc.Spec.Ports {
		if p.Port == port {
			to := p.TargetPort
			if to.IntValue() == 0 && to.StrVal == "" {
				to = intstr.FromInt32(port)
			}
			return []Egress{{Namespace: namespace, Pods: svc.Spec.Selector, Port: to}}, nil
		}
	}
	return nil, fmt.Errorf("the service %s/%s has no port %d", namespace, parts[0], port)
}

// ParseEgress reads ADDRESS/BITS:PORT.
func ParseEgress(text string) (Egress, error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return Egress{}, errors.New("must be ADDRESS/BITS:PORT, such as 10.1.2.3/32:9000")
	}
	prefix, err := netip.ParsePrefix(strings.Trim(text[:at], "[]"))
	port, portErr := strconv.ParseUint(text[at+1:], 10, 16)
	if err != nil || portErr != nil {
		return Egress{}, errors.New("must be ADDRESS/BITS:PORT, such as 10.1.2.3/32:9000")
	}
	return Egress{CIDR: prefix.Masked().String(), Port: intstr.FromInt32(int32(port))}, nil
}
