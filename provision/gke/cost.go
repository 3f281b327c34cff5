package gke

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/labctl/labctl/provision"
)

// priceList says where the prices below are from.
const priceList = "list prices of us-central1 in January 2026, without network traffic: " +
	"https://cloud.google.com/kubernetes-engine/pricing"

// Prices in US dollars an hour, on demand, in us-central1, from Google's price lists
// (cloud.google.com/kubernetes-engine/pricing, cloud.google.com/compute/vm-instance-pricing,
// cloud.google.com/compute/disks-image-pricing) as of January 2026. Other regions cost up to half as much more.
// They only serve an estimate.
const (
	clusterPrice  = 0.10       // management fee of a cluster; the first zonal one of a billing account is free
	diskPrice     = 0.10 / 730 // a GB of a balanced disk, which nodes have, for an hour; a month has 730
	spotDiscount  = 0.60       // at least; it changes from day to day
	regionalZones = 3          // that a regional cluster has its nodes in
)

// family prices the machines of a series by their processors and GB of memory.
type family struct{ cpu, gb float64 }

var families = map[string]family{
	"e2":  {0.021811, 0.002923},
	"n1":  {0.031611, 0.004237},
	"n2":  {0.031611, 0.004237},
	"n2d": {0.027502, 0.003686},
	"n4":  {0.030710, 0.003490},
	"t2d": {0.027502, 0.003686},
	"c2":  {0.033990, 0.004550},
	"c3":  {0.033980, 0.004560},
	"c4":  {0.034650, 0.003938},
}

// memory is how many GB a machine has for each processor, by the middle of its name.
var memory = map[string]map[string]float64{
	"n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
	"e2": {"standard": 4, "highmem": 8, "highcpu": 1},
	"":   {"standard": 4, "highmem": 8, "highcpu": 2},
}

// shared are machines that share a processor; their prices are of a whole machine.
var shared = map[string]float64{"e2-micro": 0.008376, "e2-small": 0.016751, "e2-medium": 0.033503, "g1-small": 0.0257}

// machinePrice is what a machine costs an hour; false: unknown.
func machinePrice(machine string) (float64, bool) {
	if price, ok := shared[machine]; ok {
		return price, true
	}
	parts := strings.Split(machine, "-")
	if len(parts) != 3 {
		return 0, false
	}
	price, ok := families[parts[0]]
	perCPU, special := memory[parts[0]]
	if !special {
		perCPU = memory[""]
	}
	gb, known := perCPU[parts[1]]
	cpus, err := strconv.Atoi(parts[2])
	if !ok || !known || err != nil || cpus < 1 {
		return 0, false
	}
	return float64(cpus) * (price.cpu + gb*price.gb), true
}

// nodes is how many nodes the cluster has.
func (p *Provider) nodes() int {
	if isZone(p.settings.Location) {
		return p.settings.Nodes
	}
	return p.settings.Nodes * regionalZones
}

// Describe implements provision.Describer: what Create would make.
func (p *Provider) Describe() string {
	s := p.settings
	place := s.Location
	if !isZone(s.Location) {
		place += fmt.Sprintf(", %d in each of its zones", s.Nodes)
	}
	kind := s.MachineType
	if s.Spot {
		kind += " (spot)"
	}
	version := s.ReleaseChannel + " channel"
	switch {
	case s.Version != "":
		version = "Kubernetes " + s.Version
	case s.ReleaseChannel == "none":
		version = "no release channel"
	}
	return fmt.Sprintf("%d × %s with %d GB, %s, %s", p.nodes(), kind, s.DiskGB, place, version)
}

// Cost implements provision.Priced.
func (p *Provider) Cost() provision.Cost {
	s := p.settings
	price, ok := machinePrice(s.MachineType)
	if !ok {
		return provision.Cost{Source: "https://cloud.google.com/products/calculator"}
	}
	if s.Spot {
		price *= 1 - spotDiscount
	}
	total := clusterPrice + float64(p.nodes())*(price+float64(s.DiskGB)*diskPrice)
	return provision.Cost{Known: true, Hourly: math.Round(total*100) / 100, Source: priceList}
}
