// Package storagetest serves S3 for tests: everything is in memory, every credential is good.
package storagetest

import (
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3 is a server to be served by net/http. It counts requests, and can refuse some.
type S3 struct {
	handler http.Handler

	mu     sync.Mutex
	counts map[string]int
	refuse func(*http.Request) int
}

// NewS3 is a server with one empty bucket.
func NewS3(bucket string) (*S3, error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return nil, err
	}
	// Clocks of containers may be wrong; that is no test's subject.
	fake := gofakes3.New(backend, gofakes3.WithTimeSkewLimit(24*time.Hour))
	return &S3{handler: fake.Server(), counts: map[string]int{}}, nil
}

// URL is how a store names the bucket, or a folder of it, behind an endpoint such as http://127.0.0.1:9000.
func URL(bucket, endpoint string) string {
	return "s3://" + bucket + "?endpoint=" + url.QueryEscape(endpoint)
}

// Refuse lets requests for which status is not 0 fail with it; nil: none.
func (s *S3) Refuse(status func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = status
}

// Counts says how many requests there were of each method, listings apart as LIST.
func (s *S3) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// ServeHTTP answers a request.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := r.Method
	if kind == http.MethodGet && (r.URL.Query().Has("list-type") || r.URL.Query().Has("prefix")) {
		kind = "LIST"
	}
	s.mu.Lock()
	s.counts[kind]++
	refuse := s.refuse
	s.mu.Unlock()
	if refuse != nil {
		if status := refuse(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	s.handler.ServeHTTP(w, r)
}
