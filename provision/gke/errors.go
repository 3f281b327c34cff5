package gke

import (
	"errors"
	"fmt"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const logIn = "run \"gcloud auth application-default login\", or let GOOGLE_APPLICATION_CREDENTIALS name a key file"

// advice is an error of Google's with what to do about it.
type advice struct {
	err error  // Google's
	say string // what it said, in one line
	do  string
}

func (a *advice) Error() string {
	if a.do == "" {
		return a.say
	}
	return a.say + " — " + a.do
}

func (a *advice) Unwrap() error { return a.err }

// explain says what to do about an error of Google's API. Reasons are those of
// https://cloud.google.com/apis/design/errors and https://pkg.go.dev/google.golang.org/genproto/googleapis/api/error_reason;
// what Compute Engine reports through an operation has only words.
func explain(err error, project string) error {
	if err == nil {
		return nil
	}
	var known *advice
	if errors.As(err, &known) {
		return err
	}
	reason, say, details := "", status.Convert(err).Message(), map[string]string{}
	code := status.Code(err)
	if e, ok := apierror.FromError(err); ok {
		reason, details = e.Reason(), e.Metadata()
		code = e.GRPCStatus().Code()
		say = e.GRPCStatus().Message()
	}
	if say == "" {
		say = err.Error()
	}
	say = strings.TrimSuffix(strings.Join(strings.Fields(say), " "), ".")
	a := &advice{err: err, say: say}
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(strings.ToLower(say), w) {
				return true
			}
		}
		return false
	}
	page := func(path string) string { return "https://console.cloud.google.com/" + path + "?project=" + project }
	switch {
	case has("could not find default credentials"):
		a.say, a.do = "no credentials for Google Cloud were found", logIn
	case reason == "SERVICE_DISABLED" || has("has not been used in project", "is disabled"):
		url := details["activationUrl"]
		if url == "" {
			url = page("apis/library/container.googleapis.com")
		}
		a.do = "enable the Kubernetes Engine API, wait a minute, and try again: " + url
	case reason == "BILLING_DISABLED" || has("billing"):
		a.do = "link a billing account to the project: " + page("billing/linkedaccount")
	case reason == "CONSUMER_INVALID" || code == codes.NotFound && has("project"):
		a.do = fmt.Sprintf("check the project's ID (%s): gcloud projects list", project)
	case has("zone_resource_pool_exhausted", "does not have enough resources", "stockout", "resource_pool_exhausted", "out of resources"):
		a.do = "the zone has no such machines left now: set another location or machine_type, or try again later"
	case code == codes.ResourceExhausted && !has("quota") || reason == "RATE_LIMIT_EXCEEDED":
		a.do = "wait a minute, and try again"
	case has("quota", "insufficient regional quota"):
		a.do = "use fewer or smaller nodes (nodes, machine_type, disk_gb), another region, or ask for more: " + page("iam-admin/quotas")
	case code == codes.Unauthenticated || has("invalid_grant", "reauth"):
		a.do = "log in again: gcloud auth application-default login"
	case has("does not have access to the service account", "iam.serviceaccounts.actas", "service account"):
		a.do = "let your account use the nodes' service account (roles/iam.serviceAccountUser), or set service_account to another: " + page("iam-admin/serviceaccounts")
	case code == codes.PermissionDenied:
		a.do = "have somebody grant your account the role Kubernetes Engine Admin (roles/container.admin) on the project: " + page("iam-admin/iam")
	case code == codes.AlreadyExists:
		a.do = "another cluster has this name: give the lab another with --name"
	case code == codes.InvalidArgument && has("version"):
		a.do = "choose a version that the release channel offers: https://cloud.google.com/kubernetes-engine/docs/release-notes"
	case code == codes.InvalidArgument && has("location", "zone", "region"):
		a.do = "choose a location of https://cloud.google.com/compute/docs/regions-zones"
	case code == codes.InvalidArgument:
		a.do = "correct the lab's cluster \"gke\" block"
	case code == codes.Unavailable || code == codes.DeadlineExceeded:
		a.do = "Google's API does not answer: check the network of this machine, and try again"
	}
	return a
}
