// Package storage keeps the submissions and results of a class in object storage: S3 and what speaks its
// language, Google Cloud Storage, Azure Blob Storage, or a directory. It tries again what may go better the
// next time, and tells what is worth another try from what is not.
package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"path"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)

// Store is a bucket, or a folder of one. It is safe for concurrent use. Close it.
type Store struct {
	bucket *blob.Bucket
	name   string // the URL without what stands behind "?", for messages
}

// Open opens the bucket of a URL, such as s3://class/week-3?region=eu-west-1; what is behind the bucket's
// name is the folder. Parameters are those of gocloud.dev/blob. Nothing is sent yet, so a bucket that is not
// there shows later.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open the storage: %w", err)
	}
	name := plainName(u)
	q := u.Query()
	folder := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "s3":
		s3Defaults(q)
	case "gs", "azblob":
	case "file":
		if u.Host != "" || !path.IsAbs(u.Path) {
			return nil, fmt.Errorf("open the storage %s: a file URL needs an absolute path: file:///data/class", rawURL)
		}
		// The temporary file has to be on the same volume as what it becomes.
		q.Set("no_tmp_dir", "true")
		q.Set("create_dir", "true")
		q.Set("metadata", "skip")
		folder = ""
	default:
		return nil, fmt.Errorf("open the storage %s: want s3://, gs://, azblob:// or file://", name)
	}
	if u.Scheme != "file" {
		u.Path = ""
		if u.Host == "" {
			return nil, fmt.Errorf("open the storage %s: the name of the bucket is missing: %s://BUCKET/FOLDER", name,
				u.Scheme)
		}
	}
	u.RawQuery = q.Encode()
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open the storage %s: %w", name, err)
	}
	return New(bucket, folder, name), nil
}

// New is the store in a folder of a bucket, which messages call name; it is closed with the store.
func New(bucket *blob.Bucket, folder, name string) *Store {
	if folder != "" {
		bucket = blob.PrefixedBucket(bucket, strings.Trim(folder, "/")+"/")
	}
	return &Store{bucket, strings.TrimSuffix(name, "/")}
}

// s3Defaults spares who names an endpoint of their own what such servers mostly need: the bucket's name in
// the path, not in the host's name, and no checksums of AWS's own.
func s3Defaults(q url.Values) {
	if q.Get("endpoint") == "" {
		return
	}
	for name, value := range map[string]string{
		"use_path_style": "true", "request_checksum_calculation": "when_required",
		"response_checksum_validation": "when_required",
	} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	if !q.Has("region") && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" {
		q.Set("region", "us-east-1")
	}
}

func plainName(u *url.URL) string {
	plain := *u
	plain.User, plain.RawQuery, plain.Fragment = nil, "", ""
	return strings.TrimSuffix(plain.String(), "/")
}

// Close releases the connections.
func (s *Store) Close() error { return s.bucket.Close() }

// Name is what messages call the store: its URL without parameters.
func (s *Store) Name() string { return s.name }

// Object is an object of a listing, or a folder of them.
type Object struct {
	Key  string // of a folder with "/" at the end
	Dir  bool
	Size int64
	// Hint changes when the object's content does. Two of the same hint may still differ.
	Hint string
}

// List lists the objects whose keys begin with prefix, in the order of their keys, page by page. Unless it is
// deep, what is below the next "/" is one folder.
func (s *Store) List(ctx context.Context, prefix string, deep bool) iter.Seq2[Object, error] {
	opts := &blob.ListOptions{Prefix: prefix}
	if !deep {
		opts.Delimiter = "/"
	}
	return func(yield func(Object, error) bool) {
		token := blob.FirstPageToken
		last := "" // some servers give a folder at the end of a page and at the beginning of the next
		for len(token) > 0 {
			var page []*blob.ListObject
			var next []byte
			err := s.again(ctx, "list", prefix, func() (err error) {
				page, next, err = s.bucket.ListPage(ctx, token, 1000, opts)
				return err
			})
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range page {
				hint := fmt.Sprintf("%d %x", o.Size, o.MD5)
				if len(o.MD5) == 0 {
					hint = fmt.Sprintf("%d %d", o.Size, o.ModTime.UnixNano())
				}
				if o.IsDir {
					if o.Key == last {
						continue
					}
					hint, last = "", o.Key
				}
				if !yield(Object{o.Key, o.IsDir, o.Size, hint}, nil) {
					return
				}
			}
			token = next
		}
	}
}

// Read returns what an object holds, but no more than limit bytes.
func (s *Store) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	return s.read(ctx, key, func(size int64) (int64, error) { return min(size, limit), nil })
}

// read returns the beginning of an object, as long as most says once the size is known. An error of most is the result.
func (s *Store) read(ctx context.Context, key string, most func(size int64) (int64, error)) (data []byte, err error) {
	var refused error
	err = s.again(ctx, "read", key, func() error {
		r, err := s.bucket.NewReader(ctx, key, nil)
		if err != nil {
			return err
		}
		defer r.Close()
		limit, err := most(r.Size())
		if err != nil {
			refused = err
			return nil
		}
		buf := bytes.NewBuffer(make([]byte, 0, limit+bytes.MinRead))
		_, err = io.Copy(buf, io.LimitReader(r, limit))
		data = buf.Bytes()
		return err
	})
	return data, errors.Join(err, refused)
}

// Stream opens an object for reading. Errors while it is read are the storage's own.
func (s *Store) Stream(ctx context.Context, key string) (r io.ReadCloser, err error) {
	err = s.again(ctx, "read", key, func() (err error) {
		r, err = s.bucket.NewReader(ctx, key, nil)
		return err
	})
	return r, err
}

// Write makes an object, as a whole or not at all.
func (s *Store) Write(ctx context.Context, key string, data []byte) error {
	return s.again(ctx, "write", key, func() error {
		return s.bucket.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: "application/octet-stream"})
	})
}

// Exists reports whether there is an object.
func (s *Store) Exists(ctx context.Context, key string) (ok bool, err error) {
	err = s.again(ctx, "look for", key, func() (err error) {
		ok, err = s.bucket.Exists(ctx, key)
		return err
	})
	return ok, err
}

// Delete removes an object; one that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.again(ctx, "delete", key, func() error { return s.bucket.Delete(ctx, key) })
	if IsNotFound(err) {
		return nil
	}
	return err
}

// at is the URL of a key, for messages.
func (s *Store) at(key string) string { return strings.TrimSuffix(s.name+"/"+key, "/") }

// IsNotFound reports whether an error says that there is no such object or bucket.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.missing
}
