package storagetest

import (
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/grade/batch/storage"
)

const bucket = "class"

// SetCredentials sets the environment's for the servers of a test binary, which take any. Call it in TestMain.
func SetCredentials() {
	os.Setenv("AWS_ACCESS_KEY_ID", "tests")
	os.Setenv("AWS_SECRET_ACCESS_KEY", "tests")
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// Server is a server with one bucket, which runs as long as a test does.
type Server struct {
	*S3
	endpoint string
}

// Serve starts a server whose bucket is empty.
func Serve(tb testing.TB) *Server {
	tb.Helper()
	s3, err := NewS3(bucket)
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(s3)
	tb.Cleanup(server.Close)
	return &Server{s3, server.URL}
}

// URL is how a store names a folder of the bucket; "" is the bucket.
func (s *Server) URL(folder string) string {
	return URL(path.Join(bucket, folder), s.endpoint)
}

// Open opens a folder of the bucket.
func (s *Server) Open(tb testing.TB, folder string) *storage.Store {
	tb.Helper()
	return Open(tb, s.URL(folder))
}

// Open opens a store until the test ends.
func Open(tb testing.TB, url string) *storage.Store {
	tb.Helper()
	store, err := storage.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// Upload writes a directory's files to a store.
func Upload(ctx context.Context, to *storage.Store, dir string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	files := os.DirFS(dir)
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		group.Go(func() error {
			data, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			return to.Write(ctx, name, data)
		})
		return nil
	})
	return errors.Join(err, group.Wait())
}
