package main

import (
	"maps"
	"slices"
)

// shrink makes a case that still differs as small as it gets: it deletes policies, pods and any other
// object, then every part of the objects, one by one, as long as still says so. budget bounds the tries.
func shrink(c *Case, budget int, still func(*Case) bool) *Case {
	best := c.clone()
	try := func(change func(*Case) bool) bool {
		if budget <= 0 {
			return false
		}
		next := best.clone()
		if !change(next) {
			return false
		}
		budget--
		if !still(next) {
			return false
		}
		best = next
		return true
	}
	for again := true; again && budget > 0; {
		again = false
		for i := len(best.Policies) - 1; i >= 0; i-- {
			again = try(func(c *Case) bool { c.Policies = slices.Delete(c.Policies, i, i+1); return true }) || again
		}
		for i := len(best.Cluster) - 1; i >= 0; i-- {
			if isDNS(best.Cluster[i]) {
				continue
			}
			again = try(func(c *Case) bool { c.Cluster = slices.Delete(c.Cluster, i, i+1); return true }) || again
		}
		for _, name := range slices.Sorted(maps.Keys(best.Probes.DNS)) {
			again = try(func(c *Case) bool {
				c.Probes.DNS = maps.Clone(c.Probes.DNS)
				delete(c.Probes.DNS, name)
				return true
			}) || again
		}
		for i := range best.Policies {
			for _, path := range paths(best.Policies[i], nil) {
				if len(path) > 0 && path[0] != "spec" && path[0] != "specs" {
					continue
				}
				again = try(func(c *Case) bool { return remove(c.Policies[i], path) }) || again
			}
		}
		for i := range best.Cluster {
			if isDNS(best.Cluster[i]) {
				continue
			}
			for _, path := range paths(best.Cluster[i], nil) {
				if len(path) < 2 || path[0] == "metadata" && path[1] != "labels" {
					continue
				}
				again = try(func(c *Case) bool { return remove(c.Cluster[i], path) }) || again
			}
		}
	}
	return best
}

// isDNS says whether the object is part of the cluster's name server. Without one there are no look-ups,
// and another question is asked.
func isDNS(obj object) bool {
	m, _ := obj["metadata"].(object)
	return m["namespace"] == "kube-system"
}

// paths lists the places in a value, outer ones first.
func paths(v any, at []any) [][]any {
	var out [][]any
	var inner [][]any
	add := func(key, value any) {
		path := append(slices.Clone(at), key)
		out = append(out, path)
		inner = append(inner, paths(value, path)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			add(k, v[k])
		}
	case []any:
		for i := len(v) - 1; i >= 0; i-- {
			add(i, v[i])
		}
	}
	return append(out, inner...)
}

// remove deletes what stands at path, and says whether it was there.
func remove(v any, path []any) bool {
	parent, set := v, func(any) {}
	for _, key := range path[:len(path)-1] {
		switch p := parent.(type) {
		case map[string]any:
			k, _ := key.(string)
			next, ok := p[k]
			if !ok {
				return false
			}
			parent, set = next, func(v any) { p[k] = v }
		case []any:
			i, _ := key.(int)
			if i >= len(p) {
				return false
			}
			parent, set = p[i], func(v any) { p[i] = v }
		default:
			return false
		}
	}
	switch p := parent.(type) {
	case map[string]any:
		k, _ := path[len(path)-1].(string)
		if _, ok := p[k]; !ok {
			return false
		}
		delete(p, k)
		return true
	case []any:
		i, ok := path[len(path)-1].(int)
		if !ok || i >= len(p) {
			return false
		}
		set(slices.Delete(slices.Clone(p), i, i+1))
		return true
	}
	return false
}
