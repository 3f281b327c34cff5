package provision

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/kube/kubetest"
)

const (
	readyNode   = `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {conditions: [{type: Ready, status: "True"}]}}`
	waitingNode = `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {conditions: [{type: Ready, status: "False", message: no CNI}]}}`
	kindnet     = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kindnet, namespace: kube-system}, spec: {template: {spec: {containers: [{name: a, image: b}], volumes: [{name: cni, hostPath: {path: /etc/cni/net.d}}]}}}}`
	logging     = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: logs, namespace: kube-system}, spec: {template: {spec: {containers: [{name: a, image: b}], volumes: [{name: logs, hostPath: {path: /var/log}}]}}}}`
	theirCilium = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium, namespace: kube-system, labels: {k8s-app: cilium}}, spec: {template: {spec: {containers: [{name: a, image: b}], volumes: [{name: cni, hostPath: {path: /opt/cni/bin}}]}}}}`
)

// serverOf is a provider of a cluster that labctl did not create, with an API server that has objects.
func serverOf(t *testing.T, objects ...string) (*kubetest.Server, *fakeProvider) {
	t.Helper()
	api := kubetest.New(t)
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}`)
	for _, text := range objects {
		api.Add(text)
	}
	return api, &fakeProvider{stays: true, found: Found{State: Running}, api: api.Client.Config.Host}
}

// TestUpLooksFirst: before up changes anything in a cluster that labctl did not create, it says which cluster that is,
// and refuses one whose network or objects are somebody else's.
func TestUpLooksFirst(t *testing.T) {
	t.Parallel()
	adopt := func(o *UpOptions) { o.Adopt = true }
	install := func(o *UpOptions) { o.InstallCilium = true }
	ours := func(st *State) { st.Cilium.Installed = true }
	for _, tc := range []struct {
		name    string
		objects []string
		options func(*UpOptions)
		before  func(*State)
		says    []string // of the error; none: it continues
		option  Option
	}{
		{name: "no network", objects: []string{waitingNode}},
		{name: "no network, other DaemonSets", objects: []string{waitingNode, logging}},
		{name: "a network that is not ready", objects: []string{waitingNode, kindnet}},
		{name: "a network in a DaemonSet", objects: []string{readyNode, logging, kindnet}, says: []string{"node n1 is Ready", "DaemonSet kube-system/kindnet", "not Cilium"}, option: OptionInstallCilium},
		{name: "a network without a DaemonSet", objects: []string{readyNode, logging}, says: []string{"node n1 is Ready", "network, and"}, option: OptionInstallCilium},
		{name: "another network, to be replaced", objects: []string{readyNode, kindnet}, options: install},
		{name: "another network, adopted", objects: []string{readyNode, kindnet}, options: adopt, says: []string{"not Cilium"}, option: OptionInstallCilium},
		{name: "another network after our Cilium", objects: []string{readyNode, kindnet}, before: ours, says: []string{"kindnet"}, option: OptionInstallCilium},
		{name: "our Cilium is gone", objects: []string{readyNode, logging}, before: ours},
		{name: "a Cilium", objects: []string{readyNode, theirCilium}, says: []string{"Cilium (not installed by Helm) is already in this cluster"}, option: OptionAdopt},
		{name: "a Cilium, adopted", objects: []string{readyNode, theirCilium}, options: adopt},
		{name: "a Cilium elsewhere", objects: []string{readyNode, strings.ReplaceAll(theirCilium, "kube-system", "net")}, options: adopt, says: []string{"Cilium is installed in namespace net"}},
		{name: "an object of the lab's", objects: []string{waitingNode, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: team}}`}, says: []string{"Deployment team/web already exists"}, option: OptionAdopt},
		{name: "an object of the lab's, adopted", objects: []string{waitingNode, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: team}}`}, options: adopt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api, p := serverOf(t, tc.objects...)
			m, seen := newManager(t, p)
			opts := UpOptions{Lab: loadLab(t, sharedLab), On: "fake", Name: "shop"}
			if tc.options != nil {
				tc.options(&opts)
			}
			r, err := m.newRun(opts)
			if err != nil {
				t.Fatal(err)
			}
			if r.inst, err = m.Store.Create(t.Context(), "shop", "test"); err != nil {
				t.Fatal(err)
			}
			defer r.inst.Close()
			if _, err := r.begin(); err != nil {
				t.Fatal(err)
			}
			if tc.before != nil {
				tc.before(r.inst.State)
			}
			was := api.Objects()
			api.Intercept = func(method, path string) error {
				t.Errorf("%s %s", method, path)
				return nil
			}
			phases := slices.DeleteFunc(r.phases(new(results)), func(p phase) bool { return p.name != phaseCluster })
			phases[0].needs = nil
			err = r.runPhases(t.Context(), phases)
			where := "context fake, server " + api.Client.Config.Host
			if !maps.Equal(was, api.Objects()) {
				t.Error("it changed the cluster")
			}
			if tc.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(seen.all, func(e Event) bool { return e.Kind == Noted }); i < 0 || seen.all[i].Text != "using "+where {
					t.Errorf("it says %+v", seen.all)
				}
				return
			}
			for _, want := range append(tc.says, where) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			var option *OptionError
			if errors.As(err, &option); option == nil && tc.option != "" || option != nil && option.Option != tc.option {
				t.Errorf("%v: the option is not %q", err, tc.option)
			}
		})
	}
}

// TestUpRefusedLeavesNothing: a whole up that is refused has changed nothing, and leaves no instance.
func TestUpRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	api, p := serverOf(t, readyNode, kindnet)
	m, _ := newManager(t, p)
	m.Settings.Chart = t.TempDir() // not a chart; nothing is downloaded
	was := api.Objects()
	_, err := m.Up(t.Context(), UpOptions{Lab: loadLab(t, sharedLab), On: "fake", Name: "shop"})
	if err == nil {
		t.Fatal("it was not refused")
	}
	if !maps.Equal(was, api.Objects()) {
		t.Error("it changed the cluster")
	}
	if _, err := os.Stat(m.Store.Kubeconfig("shop")); err == nil {
		t.Error("its kubeconfig is left")
	}
	if _, err := m.Store.Read("shop"); !errors.Is(err, ErrNoInstance) {
		t.Errorf("its state is left: %v", err)
	}
}

// TestPlanLooksIntoSharedCluster: the plan of something new shows what there is in a cluster that exists.
func TestPlanLooksIntoSharedCluster(t *testing.T) {
	t.Parallel()
	const rest = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: cilium-operator, namespace: kube-system}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}}`
	for _, tc := range []struct {
		name    string
		objects []string
		kind    ActionKind // of the phase cilium
		says    string     // its detail, or the error
		apps    ActionKind
	}{
		{"no network", []string{waitingNode}, Create, "Cilium 1.", Create},
		{"a Cilium", []string{readyNode, theirCilium, rest}, Keep, "which was already installed", Create},
		{"a Cilium that is not ready", []string{readyNode, theirCilium}, "", "which was already in this cluster, is not ready: Deployment kube-system/cilium-operator", ""},
		{"a node that is not ready", []string{readyNode, strings.ReplaceAll(waitingNode, "n1", "n2"), theirCilium, rest}, "", "is not ready: Nodes: n2 is not Ready: no CNI", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api, p := serverOf(t, tc.objects...)
			m, _ := newManager(t, p)
			m.Settings.Chart = chartOf(t)
			lab := loadLab(t, sharedLab)
			lab.Cilium.Relay = false
			was := api.Objects()
			plan, err := m.Plan(t.Context(), UpOptions{Lab: lab, On: "fake", Name: "shop", Adopt: true})
			if !maps.Equal(was, api.Objects()) || len(p.calls) > 0 {
				t.Errorf("a plan changed something: %v", p.calls)
			}
			if tc.kind == "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want %q", err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, act := range plan.Actions {
				switch {
				case act.Phase == phaseCilium && (act.Kind != tc.kind || !strings.Contains(act.Detail, tc.says)),
					act.Phase == phaseApps && act.Kind != tc.apps,
					act.Phase == phaseCluster && !strings.Contains(act.Detail, "context fake, server "+api.Client.Config.Host):
					t.Errorf("%s: %s %s", act.Phase, act.Kind, act.Detail)
				}
			}
		})
	}
}

// TestSharedHidesCredentials: the server that is printed has no password.
func TestSharedHidesCredentials(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{stays: true, api: "https://me:secret@api.invalid:6443"})
	r, err := m.newRun(UpOptions{Lab: fakeLab("shop"), On: "fake"})
	if err != nil {
		t.Fatal(err)
	}
	where, _, err := r.shared(t.Context())
	if err != nil || strings.Contains(where, "secret") || !strings.Contains(where, "api.invalid:6443") {
		t.Errorf("%q, %v", where, err)
	}
}
