package storagetest

import (
	"io/fs"
	"net/http/httptest"
	"os"
	"path"
	"testing"

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
func Upload(tb testing.TB, to *storage.Store, dir string) {
	tb.Helper()
	files := os.DirFS(dir)
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return to.Write(tb.Context(), name, data)
	})
	if err != nil {
		tb.Fatal(err)
	}
}
