package schema

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// given is what a lab says about a cluster of kind, and of GKE.
func given() map[string]map[string]any {
	return map[string]map[string]any{
		"kind": {"workers": 3, "kube_proxy": "none", "port_mappings": []map[string]any{
			{"container_port": 30080, "host_port": 80, "listen_address": "", "protocol": "TCP"},
		}},
		"gke": {"spot": true, "ttl": "8h", "labels": map[string]string{"a": "b"}},
	}
}

// Settings come from the lab, and later from the state, where every number is a float64.
func TestDecodeCluster(t *testing.T) {
	t.Parallel()
	wantKind := Kind{ControlPlanes: 1, Workers: 3, KubeProxy: "none", IPFamily: "ipv4",
		PortMappings: []KindPortMapping{{ContainerPort: 30080, HostPort: 80, Protocol: "TCP"}}}
	wantGKE := GKE{Location: "us-central1-a", MachineType: "e2-standard-2", Nodes: 2, ReleaseChannel: "regular", DiskGB: 50,
		Dataplane: "v1", Endpoint: "public", Spot: true, TTL: 8 * time.Hour, Labels: map[string]string{"a": "b"}}
	ofLab := given()
	data, err := json.Marshal(ofLab)
	if err != nil {
		t.Fatal(err)
	}
	var ofState map[string]map[string]any
	if err := json.Unmarshal(data, &ofState); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]map[string]map[string]any{"of the lab": ofLab, "of the state": ofState} {
		if got, err := DecodeCluster[Kind]("kind", settings["kind"]); err != nil || !reflect.DeepEqual(got, wantKind) {
			t.Errorf("kind %s: %+v, %v", name, got, err)
		}
		if got, err := DecodeCluster[GKE]("gke", settings["gke"]); err != nil || !reflect.DeepEqual(got, wantGKE) {
			t.Errorf("gke %s: %+v, %v", name, got, err)
		}
	}
	if !reflect.DeepEqual(ofLab, given()) {
		t.Errorf("decoding changed what was given: %v", ofLab)
	}
	short := map[string]any{"port_mappings": []any{map[string]any{"container_port": 1.0, "host_port": 2.0}}}
	if got, err := DecodeCluster[Kind]("kind", short); err != nil || got.PortMappings[0].Protocol != "TCP" {
		t.Errorf("the default of a nested block is missing: %+v, %v", got, err)
	}
	if got, err := DecodeCluster[Minikube]("minikube", nil); err != nil || got != (Minikube{Nodes: 1, CPUs: 2}) {
		t.Errorf("minikube: %+v, %v", got, err)
	}
	if got, err := DecodeCluster[Existing]("existing", nil); err != nil || got != (Existing{}) {
		t.Errorf("existing: %+v, %v", got, err)
	}
}

// What is wrong with settings is found wherever they come from, and said with the attribute's name.
func TestDecodeClusterErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		settings map[string]any
		want     string
	}{
		{map[string]any{"craters": 1}, "craters"},
		{map[string]any{"workers": "three"}, "workers"},
		{map[string]any{"workers": -1}, "workers must be a whole number from 0 to 50, not -1"},
		{map[string]any{"workers": 51.0}, "workers must be a whole number from 0 to 50, not 51"},
		{map[string]any{"workers": 1.5}, "workers must be a whole number from 0 to 50, not 1.5"},
		{map[string]any{"control_planes": 2}, "control_planes must be an odd number, not 2, so that etcd has a majority"},
		{map[string]any{"kube_proxy": "ipvz"}, `not "ipvz". Did you mean "ipvs"?`},
		{map[string]any{"node_image": ""}, "node_image is empty"},
		{map[string]any{"node_image": "a", "kubernetes_version": "1.34"}, "node_image and kubernetes_version say the same"},
		{map[string]any{"kubernetes_version": "latest"}, `kubernetes_version must be a version such as "1.34.2", not "latest"`},
		{map[string]any{"pod_subnet": "10.0.0.1/8"}, `"10.0.0.1/8" is not an address range`},
		{map[string]any{"port_mappings": []any{map[string]any{"container_port": 0.0, "host_port": 1.0}}}, "port_mapping: container_port must be"},
		{map[string]any{"port_mappings": []any{map[string]any{"host_port": 1.0}}}, "port_mapping: container_port is required"},
	} {
		_, err := DecodeCluster[Kind]("kind", tt.settings)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `cluster "kind"`) {
			t.Errorf("%v: error %v, want %q", tt.settings, err, tt.want)
		}
	}
	for _, settings := range []map[string]any{
		{"labels": map[string]any{"A": "b"}}, {"labels": map[string]any{"a": 1}}, {"ttl": "30m"}, {"ttl": "31d"}, {"ttl": "soon"}, {"dataplane": "v3"},
	} {
		if _, err := DecodeCluster[GKE]("gke", settings); err == nil {
			t.Errorf("%v: no error", settings)
		}
	}
	if _, err := DecodeCluster[Kind]("moon", nil); err == nil {
		t.Error("there is a provider moon")
	}
}

// Every attribute of a provider's block has its field, and every field its attribute.
func TestSettingsFitTheBlocks(t *testing.T) {
	t.Parallel()
	types := map[string]reflect.Type{
		"kind": reflect.TypeFor[Kind](), "gke": reflect.TypeFor[GKE](),
		"minikube": reflect.TypeFor[Minikube](), "existing": reflect.TypeFor[Existing](),
	}
	if got := slices.Sorted(maps.Keys(types)); !slices.Equal(got, slices.Sorted(slices.Values(Providers()))) {
		t.Fatalf("the test knows %v, there are %v", got, Providers())
	}
	var compare func(name string, b *Block, typ reflect.Type)
	compare = func(name string, b *Block, typ reflect.Type) {
		var attrs, fields []string
		for _, a := range b.Attributes {
			attrs = append(attrs, a.Name)
		}
		for _, nested := range b.Blocks {
			attrs = append(attrs, SettingsKey(nested.Type))
		}
		for i := range typ.NumField() {
			key := typ.Field(i).Tag.Get("mapstructure")
			fields = append(fields, key)
			for _, nested := range b.Blocks {
				if SettingsKey(nested.Type) == key {
					compare(name+" "+nested.Type, nested, typ.Field(i).Type.Elem())
				}
			}
		}
		if !slices.Equal(attrs, fields) {
			t.Errorf("%s has the attributes %v and the fields %v", name, attrs, fields)
		}
	}
	for name, typ := range types {
		compare(name, Provider(name), typ)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider string
		settings map[string]any
		want     int
	}{
		{"kind", nil, 1}, {"kind", map[string]any{"workers": 0}, 0}, {"kind", map[string]any{"workers": 3.0}, 3},
		{"kind", map[string]any{"workers": 1000}, 1}, {"gke", nil, 2}, {"minikube", map[string]any{"nodes": 4}, 4},
		{"existing", nil, 1}, {"moon", nil, 1},
	} {
		if got := Nodes(tt.provider, tt.settings); got != tt.want {
			t.Errorf("%s %v: %d nodes, want %d", tt.provider, tt.settings, got, tt.want)
		}
	}
}
