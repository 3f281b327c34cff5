package labs

import (
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/labctl/labctl/internal/wording"
)

// Entity is one of Cilium's names for what is not a pod of the cluster. The nodes are as the pod at the other end of
// the connection sees them.
type Entity string

const (
	EntityHost       Entity = "host"           // the pod's own node
	EntityRemoteNode Entity = "remote-node"    // every other node
	EntityAPIServer  Entity = "kube-apiserver" // every API server, or the Service default/kubernetes
	entityWorld      Entity = "world"          // every external of the lab, which a decoded lab names instead
)

// IsNode reports whether a node is what a pod calls by the name of the entity: its own node, or one of an API server.
func (e Entity) IsNode(own, apiServer bool) bool {
	switch e {
	case EntityHost:
		return own
	case EntityRemoteNode:
		return !own
	}
	return e == EntityAPIServer && apiServer
}

// The Service that every cluster has for its API server.
const (
	APIServiceNamespace = "default"
	APIServiceName      = "kubernetes"
	APIServicePort      = 443
)

// Entities are the names that entity() takes.
func Entities() []string {
	return []string{string(EntityHost), string(EntityRemoteNode), string(EntityAPIServer), string(entityWorld)}
}

// otherEntities are those of Cilium that are no place to connect to, and what to write instead.
var otherEntities = map[string]string{
	"all":        `it is everything; name the apps, externals and nodes`,
	"cluster":    `it is everything in the cluster; name the apps and nodes`,
	"health":     `nothing of the lab has its address; name the nodes`,
	"ingress":    `labctl's clusters have no Cilium Ingress`,
	"init":       `it is a pod that has no identity yet`,
	"none":       `it is nothing`,
	"unmanaged":  `it is a pod that Cilium does not manage, and labctl's clusters have none`,
	"world-ipv4": `use entity("world")`,
	"world-ipv6": `use entity("world")`,
}

var entityFunc = refFunc("name", entityType, refEntity, func(name string) error {
	if slices.Contains(Entities(), name) {
		return nil
	}
	if why, known := otherEntities[name]; known {
		return function.NewArgErrorf(0, "the entity %q is not an end of a connection: %s", name, why)
	}
	return function.NewArgErrorf(0, "%q is not an entity; these are %s", name, wording.And(Entities()))
})

// worldNames are the externals that the entity world stands for.
func (s *scope) worldNames(at hcl.Range) []string {
	if len(s.decls["external"]) == 0 {
		s.errorf(at, "No external", `entity("world") stands for every external of the lab, by address, and the lab has none. Declare one: external "internet" { host = "NAME" }.`)
	}
	return s.order["external"]
}

// ends is how many ends of connections the items are, if none is refused.
func (s *scope) ends(items []item) int {
	n := len(items)
	for _, it := range items {
		if r, _ := refOf(it.val); r.kind == refEntity && Entity(r.name) == entityWorld {
			n += len(s.order["external"]) - 1
		}
	}
	return n
}

// entitySources are the sources that an entity stands for.
func (s *scope) entitySources(it item, entity Entity) []Source {
	if entity != entityWorld {
		if !s.checkEntity(entity, it.rng) {
			return nil
		}
		return []Source{{Entity: entity}}
	}
	var list []Source
	for _, name := range s.worldNames(it.rng) {
		list = append(list, Source{External: name})
	}
	return list
}

// worldTargets are the targets that the entity world stands for: every external, by address.
func (s *scope) worldTargets(it item, how addressing) []Target {
	if how.via != "" && how.via != ViaIP {
		s.errorf(it.rng, "Invalid via", `entity("world") has no name; via can only be "ip" here.`)
		return nil
	}
	how.via = ViaIP
	var list []Target
	for _, name := range s.worldNames(it.rng) {
		t := Target{Protocol: how.protocol, ICMPType: how.icmp, HTTP: how.http}
		if s.externalTarget(it, ref{kind: refExternal, name: name}, how, &t) && s.targetPort(it, how, &t) {
			list = append(list, t)
		}
	}
	return list
}

// entityTarget addresses a node by its address, and the API server by its own or by its Service.
func (s *scope) entityTarget(it item, entity Entity, how addressing, t Target) (Target, bool) {
	t.Entity, t.Via = entity, cmp.Or(how.via, ViaIP)
	if !s.checkEntity(entity, it.rng) {
		return t, false
	}
	switch {
	case entity == EntityAPIServer:
		return s.apiServerTarget(it, how, t)
	case t.Via != ViaIP:
		s.errorf(it.rng, "Invalid via", "A node has no service; via can only be \"ip\" here.")
		return t, false
	}
	return t, s.targetPort(it, how, &t)
}

// apiServerTarget sets the port of the API server: its own unless another is given, or its Service's.
func (s *scope) apiServerTarget(it item, how addressing, t Target) (Target, bool) {
	if how.layer3 && t.Via != ViaIP {
		s.errorf(it.rng, "Invalid via", "A service does not answer ICMP; use via = \"ip\".")
		return t, false
	}
	if t.Protocol = cmp.Or(t.Protocol, "TCP"); how.layer3 {
		return t, true
	}
	port, given := s.portNumber(how)
	switch {
	case !given && !how.port.IsNull():
		if !how.badPort() {
			s.errorf(how.portRng, "Invalid port", "The port of an entity is a number.")
		}
		return t, false
	case t.Via == ViaIP:
		t.Port = port
	case given && port != APIServicePort || t.Protocol != "TCP":
		s.errorf(it.rng, "Unknown port", "The Service %s/%s has the port %d/TCP, and no other.",
			APIServiceNamespace, APIServiceName, APIServicePort)
		return t, false
	default:
		t.Port = APIServicePort
	}
	return t, true
}

// checkEntity reports an entity that the default cluster is known not to have.
func (s *scope) checkEntity(entity Entity, at hcl.Range) bool {
	if entity == EntityRemoteNode && len(s.clusterNodes) == 1 {
		s.errorf(at, "No other node", "The cluster has one node, so no node is a remote one to its pods.")
		return false
	}
	return true
}

// checkEntityEnds reports connections with an entity whose other end does not say which nodes are meant: it must be
// the pods of an app.
func (s *scope) checkEntityEnds(n *node, from []Source, to []Target) {
	for _, f := range from {
		for i := range to {
			t := &to[i]
			switch {
			case f.Entity != "" && t.App == "":
				s.errorf(n.rng("from"), "Not a source",
					"A connection from %s goes to an app, not to %s.", f, t)
				return
			case f.Entity != "" && t.Via != ViaIP:
				s.errorf(n.rng("from"), "Invalid via",
					"A connection from %s goes to the pods themselves, as the kubelet's do; add via = \"ip\".", f)
				return
			case (t.Entity == EntityHost || t.Entity == EntityRemoteNode) && f.App == "":
				s.errorf(n.rng("to"), "Not a target",
					"Which node the entity %s is depends on the pod that connects, so the connection starts at an app, not at %s.",
					t.Entity, f)
				return
			}
		}
	}
}
