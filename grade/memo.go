package grade

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"maps"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
)

// memo remembers what states come to. Most of a class get most tasks right, and then nothing in the outcome depends on where
// in whose file a rule stands. Where something is missed the outcome says where, so it is that of a state that says the same
// in the same places: what many copy, and what differs in comments only.
type memo struct {
	engine  engine.Engine
	met     *lru.Cache[digest, *taskResult] // all of it is met: by what the state says
	missed  *lru.Cache[digest, *taskResult] // by that, and where it stands
	objects *lru.Cache[*manifest.Object, objectDigests]
	fine    *lru.Cache[digest, struct{}] // what objects say that the engine takes
	mu      sync.Mutex
	kinds   map[int][]*taskResult // of a task: few, since what is met differs in little
}

type digest = [sha256.Size]byte

// objectDigests tell objects apart.
type objectDigests struct {
	says   digest // of what it is and says
	exact  digest // of that, and of where it stands
	placed bool   // exact is known
}

// How much is remembered. What is met takes some hundred bytes a state, so it is those of some thousand submissions; what
// is missed is explained, in some ten kilobytes.
const (
	rememberedMet     = 1 << 15
	rememberedMissed  = 1 << 11
	rememberedObjects = 1 << 12 // by what they say
	objectsAtOnce     = 1 << 9  // of the submissions that are graded just now
	mostObject        = 1 << 14 // bytes of JSON of an object of which something is remembered
	mostMissed        = 1 << 16 // bytes of an account that is remembered, roughly
)

// Remembering is the grader for many submissions: what a state that was met before comes to is not asked again. It must be
// used with that engine only, which has to give equal states equal verdicts, as one that computes does. An engine that
// asks a cluster is none, and leaves the grader as it is.
func (g *Grader) Remembering(eng engine.Engine) *Grader {
	if _, ok := eng.(engine.Simulator); !ok {
		return g
	}
	m := &memo{engine: eng, kinds: map[int][]*taskResult{}}
	// The only error is a size that is not positive.
	m.met, _ = lru.New[digest, *taskResult](rememberedMet)
	m.missed, _ = lru.New[digest, *taskResult](rememberedMissed)
	m.objects, _ = lru.New[*manifest.Object, objectDigests](objectsAtOnce)
	m.fine, _ = lru.New[digest, struct{}](rememberedObjects)
	again, rules := *g, *g.Rules
	rules.Memory = manifest.NewMemory(rememberedObjects)
	again.memo, again.Rules = m, &rules
	return &again
}

// remembers says whether what this engine is asked is remembered.
func (g *Grader) remembers(eng engine.Engine) bool { return g.memo != nil && g.memo.engine == eng }

// digests of an object.
func (m *memo) digests(o *manifest.Object) objectDigests {
	if d, ok := m.objects.Get(o); ok {
		return d
	}
	h := sha256.New()
	for _, s := range []string{o.APIVersion, o.Kind, o.Namespace} { // which a List may say for it
		number(h, len(s))
		io.WriteString(h, s)
	}
	h.Write(o.JSON)
	d := objectDigests{says: digest(h.Sum(nil))}
	layout, placed := o.Layout()
	if d.placed = placed; placed {
		h.Write(layout[:])
		d.exact = digest(h.Sum(nil))
	}
	if len(o.JSON) <= mostObject {
		m.objects.Add(o, d)
	}
	return d
}

// stateKey is a digest of what a task's outcome depends on.
type stateKey struct {
	says   digest // if all of it is met
	exact  digest // if not
	placed bool   // exact is known
}

func (m *memo) keyOf(state *engine.State, task int) stateKey {
	says, exact := sha256.New(), sha256.New()
	number(says, task)
	key := stateKey{placed: true}
	for _, list := range [][]*manifest.Object{state.Policies, state.Applied} {
		number(says, len(list))
		for _, o := range list {
			d := m.digests(o)
			says.Write(d.says[:])
			exact.Write(d.exact[:])
			key.placed = key.placed && d.placed
		}
	}
	text := func(s string) { number(says, len(s)); io.WriteString(says, s) }
	for _, o := range state.Policies { // what was in force before tells mistakes
		if old := state.Replaced[o]; old != nil {
			d := m.digests(old)
			exact.Write(d.exact[:])
			key.placed = key.placed && d.placed
		}
	}
	for _, gone := range state.Deletions {
		for _, o := range []*manifest.Object{gone.Policy, gone.By} {
			d := m.digests(o)
			exact.Write(d.exact[:])
			key.placed = key.placed && d.placed
		}
	}
	number(says, len(state.NamespaceLabels))
	for _, name := range slices.Sorted(maps.Keys(state.NamespaceLabels)) {
		text(name)
		labels := state.NamespaceLabels[name]
		number(says, len(labels))
		for _, k := range slices.Sorted(maps.Keys(labels)) {
			text(k)
			text(labels[k])
		}
	}
	number(says, len(state.Deleted))
	for _, r := range state.Deleted {
		text(r.String())
	}
	key.says = digest(says.Sum(nil))
	exact.Write(key.says[:])
	if state.Attempted { // the author's mistakes depend on it
		number(exact, 1)
	}
	key.exact = digest(exact.Sum(nil))
	return key
}

func number(h hash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// get is the outcome of a state that was met before.
func (m *memo) get(key stateKey) (*taskResult, bool) {
	if out, ok := m.met.Get(key.says); ok || !key.placed {
		return out, ok
	}
	return m.missed.Get(key.exact)
}

// add remembers an outcome.
func (m *memo) add(key stateKey, task int, out *taskResult) {
	met := true
	for i := range out.checks {
		for j := range out.checks[i] {
			c := &out.checks[i][j]
			if c.Error != "" { // another time it may be none
				return
			}
			met = met && c.Passed && c.Why == nil
		}
		met = met && len(out.findings[i]) == 0
	}
	if !met {
		if key.placed && out.size() <= mostMissed {
			m.missed.Add(key.exact, out)
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kind := range m.kinds[task] {
		if slices.EqualFunc(kind.checks, out.checks, slices.Equal[[]Check]) {
			m.met.Add(key.says, kind)
			return
		}
	}
	if len(m.kinds[task]) < 16 {
		m.kinds[task] = append(m.kinds[task], out)
		m.met.Add(key.says, out)
	}
}

// size is about how many bytes the accounts take.
func (o *taskResult) size() int {
	size := 0
	for _, checks := range o.checks {
		for i := range checks {
			if why := checks[i].Why; why != nil {
				size += sizeOf(why.Detail)
				for _, s := range why.Text {
					size += len(s)
				}
			}
		}
	}
	return size
}

// check is the engine's: of objects that say what it took before it is not asked again.
func (m *memo) check(eng engine.Simulator, objs []*manifest.Object) manifest.Problems {
	var anew []*manifest.Object
	for _, o := range objs {
		if !m.fine.Contains(m.digests(o).says) {
			anew = append(anew, o)
		}
	}
	problems := eng.Check(anew)
	if len(problems) == 0 {
		for _, o := range anew {
			m.fine.Add(m.digests(o).says, struct{}{})
		}
	}
	return problems
}
