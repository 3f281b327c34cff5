package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/report"
)

// header is the first record of a journal: results under another key are of another run.
type header struct {
	FormatVersion int `json:"format_version"`
	Key           key `json:"key"`
}

// record is what a journal holds of one submission. Result.Attempt is the entry's.
type record struct {
	Input  key    `json:"input"`
	Result Result `json:"result"`
	// Took is how long it was under way, in seconds; 0 where another one's result was taken over.
	Took float64 `json:"took,omitempty"`
}

// line is what a line of a journal holds after the header: a record, or one of the others.
type line struct {
	record
	Begun *startRecord `json:"begun,omitempty"`
	Life  *runRecord   `json:"life,omitempty"`
	Ended bool         `json:"ended,omitempty"` // the run ended in order
}

// journal is the append-only file of results, and of what was begun. A line is the CRC-32C of a record in
// hex, a space and the record as JSON. A record counts when it is on the disk as a whole: whatever follows
// the first line that is not is cut off.
type journal struct {
	file *os.File
	lock *flock.Flock

	mu      sync.Mutex // of what follows, but for entries and places
	out     *bufio.Writer
	flights flights
	dirty   time.Time // since when something waits to be synced; zero: nothing does
	end     int64
	// entries are those of the run, in order, and places says where the record of each stands. A place belongs to the
	// worker that has the entry until its result is added.
	entries []intake.Entry
	places  []place
}

// place is where a record stands. There is one an entry, so it is small; its zero value means that there is no record.
type place struct {
	offset int64 // never 0: the header is there
	length int32
	failed bool // it is in error
	input  key
}

const (
	journalFile = "journal.jsonl"
	lockFile    = "lock"
	// syncEvery bounds what a power failure costs; a killed process loses nothing that was written.
	syncEvery = 200 * time.Millisecond
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BusyError says that another run works on the output directory.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another labctl batch is writing to %s", e.Dir)
}

// openJournal opens the journal of an output directory. restart says why what was there does not count; "": it does,
// or there was nothing.
func openJournal(dir string, run key, entries []intake.Entry) (j *journal, restart string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", fmt.Errorf("make the output directory: %w", err)
	}
	j = &journal{lock: flock.New(filepath.Join(dir, lockFile)), flights: newFlights(), entries: entries,
		places: make([]place, len(entries))}
	locked, err := j.lock.TryLock()
	if err != nil {
		return nil, "", fmt.Errorf("lock the output directory: %w", err)
	}
	if !locked {
		return nil, "", &BusyError{dir}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	if j.file, err = os.OpenFile(filepath.Join(dir, journalFile), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return j, "", fmt.Errorf("open the journal: %w", err)
	}
	found, err := j.read()
	if err != nil {
		return j, "", err
	}
	if found != nil && (found.Key != run || found.FormatVersion != FormatVersion) {
		restart = "the lab, labctl's version or an option that changes grades has changed"
	}
	if found == nil && j.size() > 0 {
		restart = "the journal there cannot be read"
	}
	if restart != "" || found == nil {
		err = j.reset(dir, run)
		return j, restart, err
	}
	if err = j.file.Truncate(j.end); err != nil {
		return j, "", fmt.Errorf("cut the journal: %w", err)
	}
	if _, err = j.file.Seek(j.end, io.SeekStart); err != nil {
		return j, "", fmt.Errorf("read the journal: %w", err)
	}
	j.out = bufio.NewWriterSize(j.file, 1<<16)
	return j, restart, nil
}

// reset empties the journal and takes away what an earlier one has led to.
func (j *journal) reset(dir string, run key) error {
	clear(j.places)
	j.flights, j.end = newFlights(), 0
	if err := errors.Join(j.file.Truncate(0), removeResults(dir)); err != nil {
		return fmt.Errorf("begin the journal: %w", err)
	}
	if _, err := j.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("begin the journal: %w", err)
	}
	j.out = bufio.NewWriterSize(j.file, 1<<16)
	_, err := j.write(header{FormatVersion, run})
	return err
}

func (j *journal) size() int64 {
	info, err := j.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// read reads all whole records; nil: there is no header.
func (j *journal) read() (*header, error) {
	var head *header
	lines := bufio.NewReaderSize(j.file, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		data, ok := unframe(text)
		if !ok {
			return head, nil
		}
		if head == nil {
			head = new(header)
			if json.Unmarshal(data, head) != nil {
				return nil, nil
			}
		} else {
			if !j.take(data, len(text)) {
				return head, nil
			}
		}
		j.end += int64(len(text))
	}
}

// take remembers what a line says that is read; false: it says nothing.
func (j *journal) take(data []byte, length int) bool {
	var l line
	if json.Unmarshal(data, &l) != nil {
		return false
	}
	switch {
	case l.Begun != nil:
		j.flights.begin(*l.Begun)
	case l.Life != nil:
		j.flights.start(*l.Life)
	case l.Ended:
		j.flights.end()
	default:
		j.flights.finish(&l.Result)
		if i, ok := j.find(l.Result.ID, l.Result.Attempt); ok {
			j.places[i] = place{j.end, int32(length), l.Result.Status == grade.Errored, l.Input}
		}
	}
	return true
}

// frame puts the checksum before a record, unframe takes it away again and says whether it was right.
func frame(data []byte) []byte {
	line := fmt.Appendf(make([]byte, 0, len(data)+10), "%08x ", crc32.Checksum(data, castagnoli))
	return append(append(line, data...), '\n')
}

func unframe(line []byte) ([]byte, bool) {
	data, ok := bytes.CutSuffix(line, []byte("\n"))
	if !ok || len(data) < 9 || data[8] != ' ' {
		return nil, false
	}
	var sum uint32
	if _, err := fmt.Sscanf(string(data[:8]), "%08x", &sum); err != nil {
		return nil, false
	}
	return data[9:], sum == crc32.Checksum(data[9:], castagnoli)
}

// write appends a line and says where it stands. The journal is locked.
func (j *journal) write(v any) (length int, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	line := frame(data)
	if _, err := j.out.Write(line); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.out.Flush(); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if j.dirty.IsZero() {
		j.dirty = time.Now()
	}
	if time.Since(j.dirty) > syncEvery {
		if err := j.toDisk(); err != nil {
			return 0, err
		}
	}
	j.end += int64(len(line))
	return len(line), nil
}

// sync brings the journal to the disk, and makes sure that it is still the one that the next run will find.
func (j *journal) sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.toDisk()
}

func (j *journal) toDisk() error {
	j.dirty = time.Time{}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	mine, err := j.file.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(j.file.Name()); err == nil && !os.SameFile(mine, there) {
			err = fmt.Errorf("%s was replaced by another file", j.file.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("write the journal: the output directory was removed or replaced while results went into "+
			"it: %w", err)
	}
	return nil
}

// find returns the entry of a student's attempt. A record of another is one that is not asked for now.
func (j *journal) find(id string, attempt int) (int, bool) {
	return slices.BinarySearchFunc(j.entries, intake.Entry{ID: id, Attempt: attempt}, intake.InOrder)
}

// add appends the result of an entry; it takes the place of an earlier one.
func (j *journal) add(entry int, rec record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	offset := j.end
	length, err := j.write(rec)
	if err == nil {
		j.flights.finish(&rec.Result)
		j.places[entry] = place{offset, int32(length), rec.Result.Status == grade.Errored, rec.Input}
	}
	return err
}

// start notes that a run begins in the directory, and how the one before ended.
func (j *journal) start(dir string) (runRecord, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.flights.diagnose(dir, ReadOOMState())
	_, err := j.write(struct {
		Life *runRecord `json:"life"`
	}{&l})
	if err == nil {
		j.flights.start(l)
	}
	return l, err
}

// begin notes that something is under way, before it is.
func (j *journal) begin(b startRecord) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.write(struct {
		Begun *startRecord `json:"begun"`
	}{&b})
	if err == nil {
		j.flights.begin(b)
	}
	return err
}

// ended notes that the run ends in order, whatever came of it. Where that cannot be noted, nothing is lost but time.
func (j *journal) ended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.write(struct {
		Ended bool `json:"ended"`
	}{true})
}

// crashesOf counts the crashes of contents or an entry; nil: none.
func (j *journal) crashesOf(of key) *crashCount {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flights.suspects[of]
}

// get reads the result of an entry back; there must be one. It may be called while others are added.
func (j *journal) get(entry int) (*record, error) {
	at := j.places[entry]
	line := make([]byte, at.length)
	if _, err := j.file.ReadAt(line, at.offset); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	data, ok := unframe(line)
	if !ok || len(line) == 0 {
		return nil, fmt.Errorf("read the journal: the record of %q is damaged", j.entries[entry].ID)
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return &rec, nil
}

// Close brings the journal to the disk and releases the output directory.
func (j *journal) Close() error {
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Sync(), j.file.Close())
	}
	return errors.Join(append(errs, j.lock.Close())...)
}

// removeResults removes what an earlier run of something else has written.
func removeResults(dir string) error {
	var errs []error
	names := []string{studentsDir, resultsFile, gradesFile, summaryFile, indexFile, slowestFile, similarityJSON,
		similarityCSV, crashFile}
	for _, f := range report.Formats() {
		if f.ClassFile != "" {
			names = append(names, f.ClassFile)
		}
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
