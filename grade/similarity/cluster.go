package similarity

import (
	"cmp"
	"maps"
	"slices"
)

// clusters join students by pairs: a union-find with the most similar pair of each cluster.
type clusters struct {
	parent []int32
	best   map[int32]pair // by root
}

func newClusters(students int) *clusters {
	c := &clusters{parent: make([]int32, students), best: map[int32]pair{}}
	for i := range c.parent {
		c.parent[i] = int32(i)
	}
	return c
}

func (c *clusters) root(i int32) int32 {
	for c.parent[i] != i {
		c.parent[i] = c.parent[c.parent[i]]
		i = c.parent[i]
	}
	return i
}

func (c *clusters) join(p pair) {
	a, b := c.root(p.a), c.root(p.b)
	best := p
	for _, root := range []int32{a, b} {
		if was, ok := c.best[root]; ok && was.compare(best) > 0 {
			best = was
		}
	}
	delete(c.best, b)
	c.parent[b] = a
	c.best[a] = best
}

// clusters describes what was joined, and the groups of equal files.
func (c *Comparison) clusters(joined *clusters) []Cluster {
	members := map[int32][]int32{}
	equal := map[int32]int{}
	for _, e := range c.digests {
		root := joined.root(e.first)
		if _, paired := joined.best[root]; !paired && e.group.Count == 1 {
			continue
		}
		members[root] = append(members[root], e.all...)
		if e.group.Count > 1 {
			equal[root] = max(equal[root], e.group.Count)
		}
	}
	for i := range c.ids { // whose files are the lab's own have no group
		if root := joined.root(int32(i)); !c.grouped[int32(i)] && joined.best[root] != (pair{}) {
			members[root] = append(members[root], int32(i))
		}
	}
	all := []Cluster{}
	for _, root := range slices.Sorted(maps.Keys(members)) {
		list := members[root]
		slices.Sort(list)
		cl := Cluster{Count: len(list), Equal: equal[root], Reasons: []string{}, Students: []string{}, Names: []string{}}
		for _, i := range list[:min(len(list), groupStudents)] {
			cl.Students, cl.Names = append(cl.Students, c.ids[i]), append(cl.Names, c.names[i])
		}
		if cl.Equal > 0 {
			cl.Reasons = append(cl.Reasons, equalReason(cl.Equal, cl.Count))
		}
		if p, ok := joined.best[root]; ok {
			d := c.describe(p)
			cl.Score = d.Score
			cl.Reasons = append(cl.Reasons, d.Reasons...)
		}
		all = append(all, cl)
	}
	slices.SortStableFunc(all, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(b.Equal, a.Equal), cmp.Compare(b.Score, a.Score), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Students[0], b.Students[0]))
	})
	return all[:min(len(all), maxPairs)]
}
