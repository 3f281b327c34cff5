package offline

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// keptRules is how many rules, peers and ports the compiled policies have that are kept, all together: those of the submissions that
// are graded just now. What no lab asks for is kept as well, as long as it is in use.
const keptRules = 1 << 18

// bytesOfRule is how much JSON of an object, which is kept as long as its policy, counts as a rule.
const bytesOfRule = 20

// compiled is the outcome of compiling a policy object.
type compiled struct {
	policy   *policy.Policy
	problems manifest.Problems
	size     int
}

// compiledPolicies are the policies that were compiled last, as many as their size allows. It is safe for concurrent use.
type compiledPolicies struct {
	mu   sync.Mutex
	kept *lru.Cache[*manifest.Object, compiled]
	size int
}

func newCompiledPolicies() *compiledPolicies {
	p := &compiledPolicies{}
	// The only error is a size that is not positive. Each policy counts at least once.
	p.kept, _ = lru.NewWithEvict(keptRules, func(_ *manifest.Object, c compiled) { p.size -= c.size })
	return p
}

func (p *compiledPolicies) get(o *manifest.Object) (compiled, bool) { return p.kept.Get(o) }

func (p *compiledPolicies) add(o *manifest.Object, c compiled) {
	c.size = 1 + len(o.JSON)/bytesOfRule
	if c.policy != nil {
		c.size += c.policy.Size()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Remove(o)
	p.size += c.size
	p.kept.Add(o, c)
	for p.size > keptRules && p.kept.Len() > 1 {
		p.kept.RemoveOldest()
	}
}
