package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/statedb"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slimnetworkingv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/k8s/utils"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/policy/api"
	policyk8s "github.com/cilium/cilium/pkg/policy/k8s"
	"github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	"github.com/cilium/cilium/pkg/source"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// errRefused marks a policy that Cilium's agent does not import.
var errRefused = errors.New("refused by Cilium")

// loaded is one policy as the agent's watchers hand it to the repository.
type loaded struct {
	resource ipcachetypes.ResourceID
	object   object
	entries  types.PolicyEntries
}

// load parses the policies with Cilium's own parsers, services resolved as its watcher does.
func (w *world) load(policies []object) ([]loaded, error) {
	db, services, backends, err := w.serviceTables()
	if err != nil {
		return nil, err
	}
	var out []loaded
	for _, obj := range policies {
		obj, err := accept(obj)
		if err != nil {
			return nil, err
		}
		l := loaded{object: obj}
		switch kind := kindOf(obj); kind {
		case "NetworkPolicy":
			var np slimnetworkingv1.NetworkPolicy
			if err := decode(obj, &np); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errRefused, nameOf(obj), err)
			}
			l.resource = ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNetpol, np.Namespace, np.Name)
			l.entries, err = k8s.ParseNetworkPolicy(discard, clusterName, &np)
		case "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy":
			// The watcher turns the clusterwide kind into this type too.
			var cnp ciliumv2.CiliumNetworkPolicy
			if err := decode(obj, &cnp); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errRefused, nameOf(obj), err)
			}
			policyk8s.ResolveToServices(db.ReadTxn(), services, backends, &cnp)
			resourceKind := ipcachetypes.ResourceKindCNP
			if kind == "CiliumClusterwideNetworkPolicy" {
				cnp.Namespace = ""
				resourceKind = ipcachetypes.ResourceKindCCNP
			}
			l.resource = ipcachetypes.NewResourceID(resourceKind, cnp.Namespace, cnp.Name)
			var rules api.Rules
			rules, err = cnp.Parse(discard, clusterName)
			if err == nil {
				l.entries = policyutils.RulesToPolicyEntries(rules)
			}
		case "ClusterNetworkPolicy":
			var np policyv1alpha2.ClusterNetworkPolicy
			if err := decode(obj, &np); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errRefused, nameOf(obj), err)
			}
			l.resource = ipcachetypes.NewResourceID(ipcachetypes.ResourceKindKCNP, "", np.Name)
			l.entries, err = k8s.ParseClusterNetworkPolicy(discard, clusterName, &np)
		case "CiliumCIDRGroup":
			var group ciliumv2.CiliumCIDRGroup
			if err := decode(obj, &group); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errRefused, nameOf(obj), err)
			}
			err = w.cidrGroup(&group)
			if err == nil {
				continue
			}
		default:
			return nil, fmt.Errorf("the oracle does not know the kind %q", kind)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errRefused, nameOf(obj), err)
		}
		out = append(out, l)
	}
	return out, nil
}

// cidrGroup puts a group's prefixes into the ipcache with the labels that the watcher gives them.
func (w *world) cidrGroup(group *ciliumv2.CiliumCIDRGroup) error {
	lbls := labels.Labels{}
	for k, v := range utils.RemoveCiliumLabels(group.Labels) {
		l := labels.NewLabel(k, v, labels.LabelSourceCIDRGroup)
		lbls[l.Key] = l
		encoded := labels.EncodedCIDRGroupLabel(l.Key, l.Value, l.Source)
		lbls[encoded.Key] = encoded
	}
	name := api.LabelForCIDRGroupRef(group.Name)
	lbls[name.Key] = name
	for _, cidr := range group.Spec.ExternalCIDRs {
		prefix, err := netip.ParsePrefix(string(cidr))
		if err != nil {
			return err
		}
		w.prefixes = append(w.prefixes, prefixInfo{prefix.Masked(), lbls})
	}
	return nil
}

// learnSelectors notes the prefixes and names that the policies mention: the agent puts the first into
// the ipcache and matches names that are looked up against the second.
func (w *world) learnSelectors(policies []loaded) {
	fqdns := map[api.FQDNSelector]bool{}
	for _, l := range policies {
		for _, e := range l.entries {
			for _, sel := range e.L3 {
				for _, prefix := range sel.GetCIDRPrefixes() {
					prefix = prefix.Masked()
					w.prefixes = append(w.prefixes, prefixInfo{prefix, labels.GetCIDRLabels(prefix)})
				}
				if f, ok := sel.GetFQDNSelector(); ok && !fqdns[*f] {
					fqdns[*f] = true
					w.fqdns = append(w.fqdns, *f)
				}
			}
		}
	}
}

// serviceTables is the load balancer's state that toServices is resolved from.
func (w *world) serviceTables() (*statedb.DB, statedb.RWTable[*loadbalancer.Service], statedb.RWTable[*loadbalancer.Backend], error) {
	db := statedb.New()
	services, err := loadbalancer.NewServicesTable(loadbalancer.DefaultConfig, db)
	if err != nil {
		return nil, nil, nil, err
	}
	backends, err := loadbalancer.NewBackendsTable(db)
	if err != nil {
		return nil, nil, nil, err
	}
	txn := db.WriteTxn(services, backends)
	defer txn.Commit()
	for _, s := range w.services {
		name := loadbalancer.NewServiceName(s.svc.Namespace, s.svc.Name)
		if _, _, err := services.Insert(txn, &loadbalancer.Service{
			Name: name, Source: source.Kubernetes, Selector: s.svc.Spec.Selector,
			Labels: labels.Map2Labels(s.svc.Labels, labels.LabelSourceK8s),
		}); err != nil {
			return nil, nil, nil, err
		}
		for _, slice := range s.slices {
			for _, e := range slice.Endpoints {
				for _, a := range e.Addresses {
					addr, err := netip.ParseAddr(a)
					if err != nil {
						return nil, nil, nil, err
					}
					if _, _, err := backends.Insert(txn, &loadbalancer.Backend{
						ServiceName: name, Source: source.Kubernetes,
						Address: loadbalancer.NewL3n4Addr(loadbalancer.TCP, cmtypes.AddrClusterFrom(addr, 0), 0,
							loadbalancer.ScopeExternal),
					}); err != nil {
						return nil, nil, nil, err
					}
				}
			}
		}
	}
	return db, services, backends, nil
}
