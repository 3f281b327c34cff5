package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// Store is the folder of all instances, one folder each.
type Store struct{ Dir string }

// Instance is one folder of a Store, held under its lock.
type Instance struct {
	Dir   string
	State *State
	lock  *flock.Flock
}

var instanceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// checkName refuses names that a container, network or file cannot have.
func checkName(name string) error {
	if !instanceName.MatchString(name) {
		return &UsageError{NameError(
			"instance name %q: must be at most 40 lowercase letters, digits and dashes; use another name", name)}
	}
	return nil
}

// ErrNoInstance reports that no instance has the name.
var ErrNoInstance = errors.New("no such lab instance")

// BusyError reports that another process uses the instance.
type BusyError struct {
	Name string
	By   string // "labctl up, process 4711"; empty: not known
}

func (e *BusyError) Error() string {
	by := e.By
	if by == "" {
		by = "another labctl"
	}
	return fmt.Sprintf("lab instance %q is in use by %s; wait until it ends", e.Name, by)
}

// Create opens an instance, or creates its folder. The State of a new one is nil.
func (s *Store) Create(ctx context.Context, name, command string) (*Instance, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state folder of the lab instance: %w", err)
	}
	return s.open(ctx, name, command)
}

// Open locks an instance to work on it. It returns ErrNoInstance if it does not exist.
func (s *Store) Open(ctx context.Context, name, command string) (*Instance, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(s.Dir, name, stateFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, s.unknown(name)
		}
		return nil, fmt.Errorf("read the state of lab instance %q: %w", name, err)
	}
	return s.open(ctx, name, command)
}

func (s *Store) unknown(name string) error {
	names, _ := s.Names()
	if len(names) == 0 {
		return fmt.Errorf("%w: %q (there are none; create one with: labctl up LAB)", ErrNoInstance, name)
	}
	return fmt.Errorf("%w: %q (there are: %s)", ErrNoInstance, name, strings.Join(names, ", "))
}

const (
	stateFile      = "state.json"
	lockFile       = "lock"
	holderFile     = "holder"
	kubeconfigFile = "kubeconfig"
	ownerFile      = "owner" // of the store
)

func (s *Store) open(ctx context.Context, name, command string) (*Instance, error) {
	inst := &Instance{Dir: filepath.Join(s.Dir, name)}
	inst.lock = flock.New(filepath.Join(inst.Dir, lockFile), flock.SetPermissions(0o600))
	// The other process may be about to end.
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	locked, err := inst.lock.TryLockContext(ctx, 50*time.Millisecond)
	if !locked {
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("lock the state of lab instance %q: %w", name, err)
		}
		holder, _ := os.ReadFile(filepath.Join(inst.Dir, holderFile))
		return nil, &BusyError{Name: name, By: strings.TrimSpace(string(holder))}
	}
	// The file serves messages only. The lock is the kernel's, and ends with the process.
	_ = os.WriteFile(filepath.Join(inst.Dir, holderFile),
		fmt.Appendf(nil, "%s, process %d\n", command, os.Getpid()), 0o600)
	if inst.State, err = s.Read(name); err != nil && !errors.Is(err, ErrNoInstance) {
		inst.Close()
		return nil, err
	}
	return inst, nil
}

// Read reads an instance's state without its lock, to look at it and not to change it.
func (s *Store) Read(name string) (*State, error) {
	path := filepath.Join(s.Dir, name, stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of lab instance %q: %w", name, err)
	}
	var st State
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("read the state of lab instance %q: %s: %w", name, path, err)
	}
	if st.FormatVersion > stateFormat {
		return nil, fmt.Errorf("lab instance %q was created by a newer labctl (%s); use that version", name, st.Tool)
	}
	return &st, nil
}

// Kubeconfig is the path of the kubeconfig of an instance.
func (s *Store) Kubeconfig(name string) string { return filepath.Join(s.Dir, name, kubeconfigFile) }

// Names lists the instances, in order.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list lab instances: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(s.Dir, e.Name(), stateFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Owner names whoever uses the store, in labels of clusters that cost money: the user, and random characters that
// tell users of the same name apart. It is chosen once and kept in the store, since the name of a machine changes with
// its network. It has lowercase letters, digits, - and _ only, as labels require.
func (s *Store) Owner() (string, error) {
	path := filepath.Join(s.Dir, ownerFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.createOwner(path); err == nil {
			data, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read who owns the lab instances: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

var notInLabels = regexp.MustCompile(`[^-_a-z0-9]`)

// createOwner writes the file of Owner, unless another process is faster.
func (s *Store) createOwner(path string) error {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = strings.ToLower(u.Username)
	}
	name = notInLabels.ReplaceAllString(name, "-")
	name = name[:min(len(name), 40)]
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	complete, err := os.CreateTemp(s.Dir, ownerFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(complete.Name())
	_, err = fmt.Fprintf(complete, "%s_%s\n", name, strings.ToLower(rand.Text()[:8]))
	if err := errors.Join(err, complete.Close()); err != nil {
		return err
	}
	if err := os.Link(complete.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Kubeconfig is the path of the instance's own kubeconfig.
func (i *Instance) Kubeconfig() string { return filepath.Join(i.Dir, kubeconfigFile) }

// Save writes the state; a reader or a crash sees the old state or the new one.
func (i *Instance) Save() error {
	i.State.FormatVersion = stateFormat
	data, err := json.MarshalIndent(i.State, "", "  ")
	if err != nil {
		return fmt.Errorf("save the state of lab instance %q: %w", i.State.Name, err)
	}
	if err := writePrivate(filepath.Join(i.Dir, stateFile), append(data, '\n')); err != nil {
		return fmt.Errorf("save the state of lab instance %q: %w", i.State.Name, err)
	}
	return nil
}

// writePrivate replaces a file that only the user can read. A reader or a crash sees the old content or the new.
func writePrivate(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(0o600))
}

// Remove deletes the instance's folder; its lock is held until that is done.
func (i *Instance) Remove() error {
	if err := os.RemoveAll(i.Dir); err != nil {
		return fmt.Errorf("remove the state of the lab instance: %w", err)
	}
	return i.lock.Close()
}

// Close releases the lock. A folder that never got a state is removed.
func (i *Instance) Close() error {
	os.Remove(filepath.Join(i.Dir, holderFile))
	if _, err := os.Stat(filepath.Join(i.Dir, stateFile)); errors.Is(err, fs.ErrNotExist) {
		os.RemoveAll(i.Dir)
	}
	return i.lock.Close()
}
