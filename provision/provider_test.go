package provision

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/labctl/labctl/labs"
)

// Settings come from the lab, and later from the state, where every number is a float64.
func TestDecodeSettings(t *testing.T) {
	t.Parallel()
	type settings struct {
		Workers *int              `mapstructure:"workers"`
		Spot    bool              `mapstructure:"spot"`
		Labels  map[string]string `mapstructure:"labels"`
		Ports   []struct {
			Host int `mapstructure:"host_port"`
		} `mapstructure:"ports"`
	}
	block := labs.Cluster{Provider: "moon", Settings: map[string]any{
		"workers": 3, "spot": true, "labels": map[string]string{"a": "b"}, "ports": []map[string]any{{"host_port": 80}},
	}}
	data, err := json.Marshal(block.Settings)
	if err != nil {
		t.Fatal(err)
	}
	read := labs.Cluster{Provider: "moon"}
	if err := json.Unmarshal(data, &read.Settings); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]labs.Cluster{"of the lab": block, "of the state": read} {
		var s settings
		if err := DecodeSettings(b, &s); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if *s.Workers != 3 || !s.Spot || s.Labels["a"] != "b" || len(s.Ports) != 1 || s.Ports[0].Host != 80 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for what, bad := range map[string]map[string]any{"craters": {"craters": 1}, "workers": {"workers": "three"}} {
		if err := DecodeSettings(labs.Cluster{Provider: "moon", Settings: bad}, &settings{}); err == nil || !strings.Contains(err.Error(), `cluster "moon"`) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
