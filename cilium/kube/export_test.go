package kube

import (
	"net/http"
	"time"
)

// RequestDeadline is the transport of clients, with another timeout.
func RequestDeadline(next http.RoundTripper, timeout time.Duration) http.RoundTripper {
	return requestDeadline{next, timeout}
}
