package gke

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const logIn = "run \"gcloud auth application-default login\", or set GOOGLE_APPLICATION_CREDENTIALS to a key file"

// actionableError is an error of Google's with what to do about it.
type actionableError struct {
	cause   error  // Google's
	message string // in one line
	hint    string // what to do; empty: unknown
}

func (e *actionableError) Error() string {
	if e.hint == "" {
		return e.message
	}
	return e.message + " — " + e.hint
}

func (e *actionableError) Unwrap() error { return e.cause }

// failure is what Google's API says about a request or operation that failed.
type failure struct {
	code    codes.Code
	reason  string            // such as "SERVICE_DISABLED"; empty in what Compute Engine reports through an operation
	details map[string]string // of the reason
	message string            // in one line
	project string
}

// has reports whether the message contains one of the words, in any case.
func (f *failure) has(words ...string) bool {
	text := strings.ToLower(f.message)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// console is a page of Google's web console.
func (f *failure) console(path string) string {
	return "https://console.cloud.google.com/" + path + "?project=" + f.project
}

// hints say what to do about failures; the first that matches counts.
var hints = []struct {
	when func(*failure) bool
	hint func(*failure) string
}{
	{
		// Google names a project of its own here, whose API nobody else can enable.
		func(f *failure) bool { return f.has("requires a quota project") },
		func(f *failure) string {
			return "run: gcloud auth application-default set-quota-project " + cmp.Or(f.project, "PROJECT")
		},
	},
	{
		func(f *failure) bool {
			return f.reason == "SERVICE_DISABLED" || f.has("has not been used in project", "api is disabled")
		},
		func(f *failure) string {
			url := cmp.Or(f.details["activationUrl"], f.console("apis/library/container.googleapis.com"))
			return "enable the Kubernetes Engine API, wait a minute, and retry: " + url
		},
	},
	{
		func(f *failure) bool {
			return f.reason == "BILLING_DISABLED" ||
				f.has("billing account", "billing to be enabled", "billing must be enabled", "billing is disabled")
		},
		func(f *failure) string {
			return "link a billing account to the project: " + f.console("billing/linkedaccount")
		},
	},
	{
		func(f *failure) bool {
			return f.reason == "CONSUMER_INVALID" || f.code == codes.NotFound &&
				(f.has("project '", `project "`) || strings.HasSuffix(f.message, "projects/"+f.project))
		},
		func(f *failure) string {
			return fmt.Sprintf("check the project's ID (%s): gcloud projects list", f.project)
		},
	},
	{
		func(f *failure) bool { return f.has("ip_space_exhausted", "ip space") },
		func(*failure) string { return "the subnetwork has too few free addresses; set subnetwork to another" },
	},
	{
		func(f *failure) bool {
			return f.has("zone_resource_pool_exhausted", "does not have enough resources", "stockout",
				"resource_pool_exhausted", "out of resources")
		},
		func(*failure) string {
			return "the zone has no such machines left; set another location or machine_type, or retry later"
		},
	},
	{
		func(f *failure) bool {
			return f.code == codes.ResourceExhausted && !f.has("quota") || f.reason == "RATE_LIMIT_EXCEEDED"
		},
		func(*failure) string { return "wait a minute and retry" },
	},
	{
		func(f *failure) bool { return f.has("quota") },
		func(f *failure) string {
			return "use fewer or smaller nodes (nodes, machine_type, disk_gb), another region, or ask for more: " +
				f.console("iam-admin/quotas")
		},
	},
	{
		func(f *failure) bool { return f.has("constraints/", "organization policy", "orgpolicy") },
		func(f *failure) string {
			if f.has("vmexternalipaccess") {
				return "your organization allows no public addresses of machines; set private_nodes = true"
			}
			return "an organization policy forbids it; ask your administrator"
		},
	},
	{
		func(f *failure) bool {
			return f.code != codes.PermissionDenied && f.has("no network named", "/networks/", "subnetwork")
		},
		func(*failure) string {
			return "set network and subnetwork to some that the project has: gcloud compute networks subnets list"
		},
	},
	{
		func(f *failure) bool { return f.code == codes.Unauthenticated || f.has("invalid_grant", "reauth") },
		func(*failure) string { return "log in again: gcloud auth application-default login" },
	},
	{
		func(f *failure) bool {
			return f.has("access to the service account", "access to service account", "iam.serviceaccounts.actas")
		},
		func(f *failure) string {
			return "let your account use the nodes' service account (roles/iam.serviceAccountUser), or set service_account to another: " +
				f.console("iam-admin/serviceaccounts")
		},
	},
	{
		func(f *failure) bool { return f.code == codes.PermissionDenied },
		func(f *failure) string {
			return "ask for the role Kubernetes Engine Admin (roles/container.admin) on the project: " +
				f.console("iam-admin/iam")
		},
	},
	{
		func(f *failure) bool { return f.code == codes.AlreadyExists },
		func(*failure) string { return "another cluster has this name; use another name for the instance" },
	},
	{
		func(f *failure) bool { return f.code == codes.InvalidArgument && f.has("version") },
		func(*failure) string {
			return "choose a version that the release channel offers: https://cloud.google.com/kubernetes-engine/docs/release-notes"
		},
	},
	{
		func(f *failure) bool { return f.code == codes.InvalidArgument && f.has("location", "zone", "region") },
		func(*failure) string {
			return "choose a location from https://cloud.google.com/compute/docs/regions-zones"
		},
	},
	{
		func(f *failure) bool { return f.code == codes.InvalidArgument || f.code == codes.NotFound },
		func(*failure) string { return "correct the lab's cluster \"gke\" block" },
	},
	{
		func(f *failure) bool { return f.code == codes.Unavailable || f.code == codes.DeadlineExceeded },
		func(*failure) string {
			return "Google's API does not answer; check the network of this machine and retry"
		},
	},
}

// explain adds to an error of Google's API what to do about it. Reasons are those of
// https://cloud.google.com/apis/design/errors and
// https://pkg.go.dev/google.golang.org/genproto/googleapis/api/error_reason.
func explain(err error, project string) error {
	var known *actionableError
	if err == nil || errors.As(err, &known) {
		return err
	}
	f := failure{code: status.Code(err), message: status.Convert(err).Message(), project: project}
	if e, ok := apierror.FromError(err); ok {
		f.reason, f.details = e.Reason(), e.Metadata()
		f.code, f.message = e.GRPCStatus().Code(), e.GRPCStatus().Message()
	}
	f.message = strings.TrimSuffix(strings.Join(strings.Fields(cmp.Or(f.message, err.Error())), " "), ".")
	if f.has("could not find default credentials") {
		return &actionableError{err, "no credentials for Google Cloud were found", logIn}
	}
	for _, h := range hints {
		if h.when(&f) {
			return &actionableError{err, f.message, h.hint(&f)}
		}
	}
	return &actionableError{cause: err, message: f.message}
}
