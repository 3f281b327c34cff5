package class

import (
	"context"
	"errors"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
)

// Storage finds the submissions at a URL in object storage, and sets how cfg opens them. Call the function that it
// returns when they are graded.
type Storage func(ctx context.Context, url string, cfg *batch.Config) (*intake.Found, func() error, error)

// FindSubmissions finds what is at local paths, or at the URL of a place in object storage; then it also sets how cfg
// opens submissions. Call the function that it returns when they are graded.
func FindSubmissions(ctx context.Context, search intake.Search, storage Storage, cfg *batch.Config,
	paths []string) (*intake.Found, func() error, error) {
	for i, path := range paths {
		if local, ok := intake.LocalPath(path); ok {
			paths[i] = local
		} else if intake.IsURL(path) && len(paths) > 1 {
			return nil, nil, errors.New("a URL of object storage must be the only argument for submissions")
		}
	}
	if !intake.IsURL(paths[0]) {
		found, err := search.Find(paths...)
		if err != nil {
			return nil, nil, err
		}
		return found, found.Close, nil
	}
	if search.ClassArchive || search.From != intake.AnyPlatform && search.From != intake.Plain {
		return nil, nil,
			errors.New("in object storage, names must be student IDs; unpack a platform's export on a disk")
	}
	if storage == nil {
		return nil, nil,
			errors.New("this labctl was built without object storage: name folders, archives or a list on a disk")
	}
	return storage(ctx, paths[0], cfg)
}
