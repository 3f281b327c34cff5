package batchjob

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/batch/jobs"
)

// TestErrorsNameFlags holds that what package jobs refuses is worded with a flag that the command has.
func TestErrorsNameFlags(t *testing.T) {
	t.Parallel()
	submit := newBatchSubmitCommand(nil, 64)
	fields := reflect.TypeFor[jobs.JobSpec]()
	for field, flag := range specFlags {
		if submit.Flags().Lookup(strings.TrimPrefix(flag, "--")) == nil {
			t.Errorf("%s: the command has no flag %s", field, flag)
		}
		if _, ok := fields.FieldByName(field); !ok && field != "Shards" {
			t.Errorf("a JobSpec has no field %s", field)
		}
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&jobs.SpecError{Field: "Name", Err: errors.New("is too long")}, "--name: is too long"},
		{&jobs.JobExistsError{Namespace: "a", Name: "b"}, "not created by labctl; choose another name with --name"},
		{fmt.Errorf("start: %w", &jobs.JobExistsError{Namespace: "a", Name: "b", Run: "c"}), "batch cancel b"},
		{&jobs.EndpointError{Endpoint: "http://x", Err: errors.New("no such host")}, "http://x: no such host; name the addresses"},
	} {
		if got := submitError(tc.err).Error(); !strings.Contains(got, tc.want) {
			t.Errorf("got %q, want %q in it", got, tc.want)
		}
	}
}
