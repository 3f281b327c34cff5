package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/gcerrors"
)

// Error is what a storage would not do.
type Error struct {
	Op, URL string // "read", "s3://class/ada.zip"
	Err     error
	// Permanent: another try would come to the same, such as one without the permission.
	Permanent bool

	missing, denied bool
}

func (e *Error) Error() string {
	switch {
	case e.denied:
		return fmt.Sprintf("%s %s: these credentials lack the permission: %v", e.Op, e.URL, e.Err)
	case e.missing:
		return fmt.Sprintf("%s %s: it is not there: %v", e.Op, e.URL, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.URL, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// IsPermanent reports whether an error is a storage's that another try cannot fix.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent
}

// Tries and the wait before the second; each further wait is twice as long, and all are spread by chance, so
// that workers that failed together do not come back together. In all it is half a minute.
const (
	tries     = 7
	firstWait = 250 * time.Millisecond
	maxWait   = 10 * time.Second
)

// again does something until it works, or will not.
func (s *Store) again(ctx context.Context, op, key string, do func() error) error {
	wait := firstWait
	for n := 1; ; n++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := &Error{Op: op, URL: s.at(key), Err: err}
		e.classify()
		if e.Permanent || n == tries {
			return e
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wait = min(2*wait, maxWait)
	}
}

// classify finds out what an error means. Storages have codes of their own; gocloud knows some, the HTTP
// status tells the rest.
func (e *Error) classify() {
	code := gcerrors.Code(e.Err)
	var response interface{ HTTPStatusCode() int } // of AWS's SDK
	var azure *azcore.ResponseError
	status := 0
	switch {
	case errors.As(e.Err, &response):
		status = response.HTTPStatusCode()
	case errors.As(e.Err, &azure):
		status = azure.StatusCode
	}
	e.missing = code == gcerrors.NotFound || status == http.StatusNotFound
	e.denied = code == gcerrors.PermissionDenied || status == http.StatusUnauthorized || status == http.StatusForbidden
	switch code {
	case gcerrors.InvalidArgument, gcerrors.FailedPrecondition, gcerrors.Unimplemented, gcerrors.AlreadyExists:
		e.Permanent = true
	}
	if status == http.StatusBadRequest || status == http.StatusMovedPermanently {
		e.Permanent = true
	}
	e.Permanent = e.Permanent || e.missing || e.denied
}
