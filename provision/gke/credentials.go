package gke

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthentication "k8s.io/client-go/pkg/apis/clientauthentication/v1"
)

// Credential returns what a client of Kubernetes expects from a credential plugin: an ExecCredential in JSON, with
// an access token of the Application Default Credentials and when it ends
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
func Credential(ctx context.Context) ([]byte, error) {
	creds, err := detect()
	if err != nil {
		return nil, err
	}
	token, err := creds.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("get a token from Google: %w — log in again: gcloud auth application-default login",
			firstLine(err))
	}
	cred := clientauthentication.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: clientauthentication.SchemeGroupVersion.String(), Kind: "ExecCredential"},
		Status:   &clientauthentication.ExecCredentialStatus{Token: token.Value},
	}
	if !token.Expiry.IsZero() {
		expiry := metav1.NewTime(token.Expiry)
		cred.Status.ExpirationTimestamp = &expiry
	}
	return json.Marshal(cred)
}
