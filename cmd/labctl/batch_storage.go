package main

import (
	"context"
	"errors"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/storage"
)

// findSubmissions finds what is at local paths, or at the URL of a place in object storage; then it also sets how cfg opens
// submissions. Call the function that it returns when they are graded.
func findSubmissions(ctx context.Context, search batch.Search, cfg *batch.Config, paths []string) (*batch.Found, func() error, error) {
	for i, path := range paths {
		if local, ok := storage.LocalPath(path); ok {
			paths[i] = local
		} else if storage.IsURL(path) && len(paths) > 1 {
			return nil, nil, errors.New("submissions in object storage are named by one URL, not among other paths")
		}
	}
	if !storage.IsURL(paths[0]) {
		found, err := search.Find(paths...)
		if err != nil {
			return nil, nil, err
		}
		return found, found.Close, nil
	}
	if search.ClassArchive || search.From != batch.AnyPlatform && search.From != batch.Plain {
		return nil, nil, errors.New("the names of submissions in object storage are the students' IDs: unpack a platform's download on a disk")
	}
	source, err := storage.OpenSource(ctx, paths[0], cfg.Limits, 0)
	if err != nil {
		return nil, nil, err
	}
	found, err := source.Find(ctx)
	if err != nil {
		return nil, nil, errors.Join(storageError(err), source.Close())
	}
	cfg.Open = source.Open
	if cfg.Workers == 0 {
		cfg.Workers = storage.Parallel
	}
	return found, source.Close, nil
}

// storageError makes an infrastructure error of what a storage would not do.
func storageError(err error) error {
	var failed *storage.Error
	if errors.As(err, &failed) {
		return infraError{err}
	}
	return err
}
