package batchjob

import (
	"context"
	"errors"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
)

// FindSubmissions implements class.Storage.
func FindSubmissions(ctx context.Context, url string, cfg *batch.Config) (*intake.Found, func() error, error) {
	source, err := storage.OpenSource(ctx, url, cfg.Limits, 0)
	if err != nil {
		return nil, nil, err
	}
	found, err := source.Find(ctx)
	if err != nil {
		return nil, nil, errors.Join(storageError(err), source.Close())
	}
	cfg.Fetch = source.Fetch
	if cfg.Workers == 0 {
		cfg.Workers = storage.Parallel
	}
	return found, source.Close, nil
}

// storageError makes an infrastructure error of what a storage would not do.
func storageError(err error) error {
	var failed *storage.Error
	if errors.As(err, &failed) {
		return cli.InfraError{Err: err}
	}
	return err
}
