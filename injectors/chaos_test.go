package injectors

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
)

// chaosKind is the catalogue's entry, on its own.
var chaosKind = kind.New("chaos-mesh", "", chaosMeshDefaults, newChaosMesh)

func buildChaos(with string) (drills.Injector, error) {
	return kind.Of("fault", chaosKind).Build("chaos-mesh", json.RawMessage(with))
}

// Every kind of the API is one that a scenario can name, and none else.
func TestChaosKindsAreThoseOfTheAPI(t *testing.T) {
	field, ok := reflect.TypeFor[ChaosMeshSpec]().FieldByName("Kind")
	require.True(t, ok)
	var named []string
	for part := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
		named = append(named, strings.TrimPrefix(part, "enum="))
	}
	assert.Equal(t, chaosKinds(), named)
}

// What of the API's kinds selects pods is filled in, the rest breaks machines.
func TestChaosKindsSelectPodsOrMachines(t *testing.T) {
	for name := range v1alpha1.AllKinds() {
		m := chaosManifest{kind: name, spec: map[string]any{}}
		switch name {
		case "PhysicalMachineChaos":
			m.spec["address"] = []any{"http://10.0.0.1:31767"}
		case "PodChaos":
			m.spec["action"] = "pod-kill"
		}
		selectors, err := m.selectors()
		require.NoError(t, err, name)
		_, pods := selectors["."]
		assert.Equal(t, !m.onMachines(), pods, name)
		machines, err := m.machines()
		assert.Equal(t, m.onMachines(), err == nil && len(machines) > 0, "%s: %v %v", name, machines, err)
		filled := m.filled(map[string][]string{"shop": {"a"}}, nil, 1)
		_, err = filled.typed()
		require.NoError(t, err, "%s: %v", name, filled.spec)
		assert.Equal(t, !m.onMachines(), filled.spec["mode"] == "all", name)
		assert.NotContains(t, m.spec, "duration", "what was asked for is not changed")
	}
}

func TestChaosShorthands(t *testing.T) {
	for _, c := range []struct{ with, kind, spec string }{
		{`{"podKill":{}}`, "PodChaos", `{"action":"pod-kill"}`},
		{`{"podKill":{"grace":"5s"}}`, "PodChaos", `{"action":"pod-kill","gracePeriod":5}`},
		{`{"podFailure":{}}`, "PodChaos", `{"action":"pod-failure"}`},
		{`{"networkPartition":{}}`, "NetworkChaos", `{"action":"partition","direction":"both"}`},
		{
			`{"networkPartition":{"direction":"to","externalTargets":["10.0.0.1","example.org"]}}`, "NetworkChaos",
			`{"action":"partition","direction":"to","externalTargets":["10.0.0.1","example.org"]}`,
		},
		{
			`{"networkDelay":{"latency":"1m30s","jitter":"1500us","correlation":25.5}}`, "NetworkChaos",
			`{"action":"delay","delay":{"latency":"90000000us","jitter":"1500us","correlation":"25.5"}}`,
		},
		{`{"dnsError":{"patterns":["db.*"]}}`, "DNSChaos", `{"action":"error","patterns":["db.*"]}`},
		{`{"httpAbort":{"port":8080,"path":"/a*"}}`, "HTTPChaos", `{"target":"Request","port":8080,"path":"/a*","abort":true}`},
		{
			`{"io":{"volumePath":"/data","latency":"100ms","methods":["READ"],"percent":50}}`, "IOChaos",
			`{"action":"latency","volumePath":"/data","delay":"100000us","methods":["READ"],"percent":50}`,
		},
		{`{"io":{"volumePath":"/data","errno":28}}`, "IOChaos", `{"action":"fault","volumePath":"/data","errno":28}`},
		{
			`{"stress":{"cpu":{"load":80},"memory":{"size":"64MB"},"containers":["api"]}}`, "StressChaos",
			`{"stressors":{"cpu":{"workers":1,"load":80},"memory":{"workers":1,"size":"64MB"}},"containerNames":["api"]}`,
		},
		{`{"time":{"offset":"-10m"}}`, "TimeChaos", `{"timeOffset":"-10m"}`},
		{`{"kind":"JVMChaos","spec":{"action":"gc","port":9277}}`, "JVMChaos", `{"action":"gc","port":9277}`},
		{`{"kind":"KernelChaos"}`, "KernelChaos", `{}`},
	} {
		f, err := buildChaos(c.with)
		require.NoError(t, err, c.with)
		var m chaosManifest
		switch f := f.(type) {
		case *chaosFault:
			m = f.chaosManifest
		case chaosLasting:
			m = f.chaosManifest
		}
		spec, err := json.Marshal(m.spec)
		require.NoError(t, err)
		assert.Equal(t, c.kind, m.kind, c.with)
		assert.JSONEq(t, c.spec, string(spec), c.with)
	}
}

func TestChaosSpecsThatAreWrong(t *testing.T) {
	for with, want := range map[string]string{
		`{}`:                                      "want exactly one of",
		`{"podKill":{},"podFailure":{}}`:          "want exactly one of",
		`{"podKill":{"grace":"500ms"}}`:           "whole seconds",
		`{"spec":{"action":"pod-kill"}}`:          "kind: is needed",
		`{"kind":"PodMess","spec":{}}`:            `kind: "PodMess": want one of AWSChaos, `,
		`{"kind":"Schedule","spec":{}}`:           `kind: "Schedule": want one of`,
		`{"kind":"PodChaos","spec":[]}`:           "spec: want an object",
		`{"podKill":{},"duration":"-1s"}`:         "must not be negative",
		`{"podKill":{},"revertWithin":"0s"}`:      "revertWithin: must be longer",
		`{"networkDelay":{}}`:                     "latency",
		`{"io":{"volumePath":"/data"}}`:           "either latency or errno",
		`{"io":{"errno":5}}`:                      "volumePath",
		`{"stress":{}}`:                           "cpu, memory, or both",
		`{"stress":{"memory":{}}}`:                "stress.memory.size",
		`{"time":{"offset":"soon"}}`:              "time.offset",
		`{"httpAbort":{}}`:                        "httpAbort.port",
		`{"dnsError":{"patterns":["*a"]}}`:        "at the end only",
		`{"networkPartition":{"from":"here"}}`:    "everybody or peers",
		`{"networkPartition":{"direction":"up"}}`: "to, from or both",
		`{"networkPartition":{"from":"everybody","externalTargets":["10.0.0.1"]}}`:                                                             "exclude each other",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","graceperiod":5}}`:                                                                     `unknown field "spec.graceperiod"`,
		`{"kind":"StressChaos","spec":{"stressors":{"cpu":{"workers":1,"burn":true}}}}`:                                                        `unknown field "spec.stressors.cpu.burn"`,
		`{"kind":"PodChaos","spec":{"action":"pod-kill","gracePeriod":"five"}}`:                                                                "spec: ",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","remoteCluster":"b"}}`:                                                                 "spec.remoteCluster",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","duration":"long"}}`:                                                                   "spec.duration",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","mode":"one"}}`:                                                                        "spec.mode: one: it would not be known before the fault whom",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","mode":"fixed","value":"1","selector":{"labelSelectors":{"app":"api"}}}}`:              "spec.mode: fixed: ",
		`{"kind":"NetworkChaos","spec":{"action":"partition","target":{"mode":"random-max-percent","value":"50","selector":{"nodes":["a"]}}}}`: "spec.target.mode: random-max-percent: ",
	} {
		_, err := buildChaos(with)
		assert.ErrorContains(t, err, want, with)
	}
}

// What happens once cannot be asked whether it still does.
func TestChaosHeldIsForWhatLasts(t *testing.T) {
	for with, lasts := range map[string]bool{
		`{"podKill":{}}`: false, `{"podFailure":{}}`: true, `{"time":{"offset":"1h"}}`: true,
		`{"kind":"PodChaos","spec":{"action":"container-kill"}}`: false, `{"kind":"AWSChaos","spec":{"action":"ec2-restart"}}`: false,
	} {
		f, err := buildChaos(with)
		require.NoError(t, err)
		_, holds := f.(drills.Holder)
		assert.Equal(t, lasts, holds, with)
	}
}

// A drill that has its fault stay for 12 m and a half has Chaos Mesh undo it later.
func TestChaosDurationIsADeadMansSwitch(t *testing.T) {
	for _, c := range []struct{ with, lasts, want string }{
		{`{"time":{"offset":"1h"}}`, "14m30s", ""},
		{`{"time":{"offset":"1h"},"revertWithin":"3m"}`, "16m30s", ""},
		{`{"time":{"offset":"1h"},"duration":"12m31s"}`, "12m31s", ""},
		{`{"kind":"TimeChaos","spec":{"timeOffset":"1h","duration":"20m"},"duration":"1s"}`, "20m", ""},
		{`{"time":{"offset":"1h"},"duration":"12m30s"}`, "", "duration: 12m30s: Chaos Mesh would undo the fault by itself after that, and the drill may have it stay for 12m30s"},
		{`{"kind":"TimeChaos","spec":{"timeOffset":"1h","duration":"10m"}}`, "", "spec.duration: 10m0s: Chaos Mesh would"},
		{`{"kind":"TimeChaos","spec":{"timeOffset":"1h","duration":"10m"},"duration":"1h"}`, "", "leave spec.duration out, or make it longer"},
		{`{"podKill":{},"duration":"1s"}`, "1s", ""}, // it happens once
	} {
		in(t, func(t *testing.T, f *fakeChaos) {
			target := f.target(f.api(nil), 1)
			target.Stay = 12*time.Minute + 30*time.Second
			i := f.build(c.with)
			u, err := i.Prepare(t.Context(), target)
			if c.want != "" {
				require.ErrorContains(t, err, c.want, c.with)
				return
			}
			require.NoError(t, err, c.with)
			var undo chaosUndo
			require.NoError(t, readUndo(u, &undo))
			assert.Equal(t, c.lasts, undo.Spec["duration"], c.with)
		})
	}
}

// Of the ready pods that must be left, one that a fault keeps from serving is none.
func TestChaosGuardsAvailability(t *testing.T) {
	for with, guards := range map[string]bool{
		`{"networkDelay":{"latency":"1s"}}`: false, `{"stress":{"cpu":{}}}`: false, `{"time":{"offset":"1h"}}`: false,
		`{"io":{"volumePath":"/a","latency":"1s"}}`: false, `{"kind":"HTTPChaos","spec":{"target":"Request","port":80,"delay":"1s"}}`: false,
		`{"podKill":{}}`: true, `{"podFailure":{}}`: true, `{"networkPartition":{}}`: true, `{"dnsError":{}}`: true, `{"httpAbort":{"port":80}}`: true,
		`{"io":{"volumePath":"/a","errno":5}}`: true, `{"stress":{"memory":{"size":"1GB"}}}`: true, `{"stress":{"cpu":{},"memory":{"size":"1GB"}}}`: true,
		`{"kind":"NetworkChaos","spec":{"action":"loss","loss":{"loss":"100"}}}`:                                 true,
		`{"kind":"NetworkChaos","spec":{"action":"netem","delay":{"latency":"1s"},"loss":{"loss":"100"}}}`:       true,
		`{"kind":"NetworkChaos","spec":{"action":"delay","delay":{"latency":"1s"},"loss":{"loss":"100"}}}`:       true,
		`{"kind":"HTTPChaos","spec":{"target":"Request","port":80,"delay":"1s","abort":true}}`:                   true,
		`{"kind":"StressChaos","spec":{"stressngStressors":"--vm 1"}}`:                                           true,
		`{"kind":"JVMChaos","spec":{"action":"exception","class":"A","method":"b","exception":"c","name":"d"}}`:  true,
		`{"kind":"BlockChaos","spec":{"action":"delay","volumeName":"v","delay":{"latency":"1s"}}}`:              true,
		`{"kind":"KernelChaos","spec":{"failKernRequest":{"failtype":0,"callchain":[{"funcname":"x"}]}}}`:        true,
		`{"kind":"HTTPChaos","spec":{"target":"Response","port":80,"replace":{"code":500}}}`:                     true,
		`{"kind":"IOChaos","spec":{"action":"attrOverride","volumePath":"/a","attr":{"perm":0}}}`:                true,
		`{"kind":"NetworkChaos","spec":{"action":"bandwidth","bandwidth":{"rate":"1bps","limit":1,"buffer":1}}}`: true,
		`{"kind":"PodChaos","spec":{"action":"container-kill","containerNames":["api"]}}`:                        true,
	} {
		in(t, func(t *testing.T, f *fakeChaos) {
			_, err := f.build(with).Prepare(t.Context(), f.target(f.api(map[string]any{"minAvailable": 1}), 3))
			if !guards {
				if err != nil { // not all of the kinds are in the fake
					assert.ErrorContains(t, err, "lacks its CRD", with)
				}
				return
			}
			assert.ErrorContains(t, err, "it would leave 0 of the 3 ready pods of api, fewer than 1", with)
		})
	}
}

// A connection that takes as long as before is not late, and one that takes longer is.
func TestChaosDelaysAreSeen(t *testing.T) {
	listen(t, "127.0.9.40:8080")
	p := path{From: "the runner", To: "api-1-0", Address: "127.0.9.40:8080"}
	// 400 ms are no accident of a busy machine three times in a row.
	require.ErrorContains(t, p.late(t.Context(), 400*time.Millisecond), "it is not late")
	require.NoError(t, p.late(t.Context(), -time.Second), "it took longer than that")
	p.Address = "127.0.9.40:1"
	require.ErrorContains(t, p.late(t.Context(), 400*time.Millisecond), "refused")

	here := livePod{podRef: podRef{Path: &path{Address: "127.0.0.1:80"}}}
	for with, want := range map[string]time.Duration{
		`{"networkDelay":{"latency":"100ms","jitter":"10ms"}}`: 90 * time.Millisecond,
		`{"networkDelay":{"latency":"10ms","jitter":"20ms"}}`:  0,
		`{"networkPartition":{}}`:                              0,
		`{"kind":"NetworkChaos","spec":{"action":"delay","delay":{"latency":"1s"},"target":{"mode":"all","selector":{}}}}`: 0,
		`{"kind":"NetworkChaos","spec":{"action":"delay","delay":{"latency":"1s"},"externalTargets":["127.0.0.1"]}}`:       time.Second,
	} {
		f, err := buildChaos(with)
		require.NoError(t, err)
		m := f.(chaosLasting).chaosManifest
		assert.Equal(t, want, m.delays([]livePod{here}), with)
		assert.Zero(t, m.delays([]livePod{here, {}}), "one that could not be reached before")
	}
}

func TestPrunedNamesTheFields(t *testing.T) {
	parse := func(text string) (v any) {
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		return v
	}
	sent := parse(`{"action":"x","delay":{"latency":"1s","reorder":{"gap":1}},"list":[{"a":1},{"b":2}],"more":[1,2]}`)
	assert.Empty(t, pruned("spec", sent, parse(`{"action":"x","delay":{"latency":"1s","reorder":{"gap":1,"new":0}},"list":[{"a":1},{"b":2}],"more":[1,2],"mode":"all"}`)))
	assert.Equal(t, []string{"spec.delay.reorder", "spec.list[1].b", "spec.more"},
		pruned("spec", sent, parse(`{"action":"x","delay":{"latency":"1s"},"list":[{"a":1},{}],"more":[1]}`)))
	assert.Equal(t, []string{"spec"}, pruned("spec", sent, nil))
}

func TestChaosRecordsAreComparedWithThePlan(t *testing.T) {
	record := func(id, side string, phase v1alpha1.Phase, failures ...string) *v1alpha1.Record {
		r := &v1alpha1.Record{Id: id, SelectorKey: side, Phase: phase}
		for _, f := range failures {
			r.Events = append(r.Events, v1alpha1.RecordEvent{Type: v1alpha1.TypeFailed, Operation: v1alpha1.Apply, Message: f})
		}
		return r
	}
	pod := func(name string) chaosPod {
		var p chaosPod
		p.Place.Namespace, p.Place.Pod = "shop", name
		return p
	}
	u := chaosUndo{Kind: "NetworkChaos", Namespace: "shop", Name: "x", Pods: []chaosPod{pod("a"), pod("b")}, Peers: []chaosPod{pod("c")}}
	a, b, c := record("shop/a/api", ".", "Injected"), record("shop/b", ".", "Injected"), record("shop/c", ".Target", "Injected")
	for _, k := range []struct {
		name, want string
		phase      v1alpha1.DesiredPhase
		records    []*v1alpha1.Record
	}{
		{"all is well", "", "Run", []*v1alpha1.Record{a, b, c}},
		{"none yet", "has not chosen its targets", "Run", nil},
		{"one is left out", "has left out pod shop/b", "Run", []*v1alpha1.Record{a, c}},
		{"a peer is left out", "has left out pod shop/c", "Run", []*v1alpha1.Record{a, b}},
		{"one too many", "has chosen pod shop/d, which is not the drill's", "Run", []*v1alpha1.Record{a, b, c, record("shop/d", ".", "Injected")}},
		{"a peer is hit", "has chosen pod shop/c, which is not the drill's", "Run", []*v1alpha1.Record{a, b, c, record("shop/c", ".", "Injected")}},
		{"over", "its duration is over", "Stop", []*v1alpha1.Record{a, b, c}},
		{"under way", "shop/b is not injected/wait", "Run", []*v1alpha1.Record{a, record("shop/b", ".", "Not Injected/Wait"), c}},
		{"in vain", "Chaos Mesh fails: no such module", "Run", []*v1alpha1.Record{a, record("shop/b", ".", "Not Injected", "no such\n module"), c}},
	} {
		err := u.inForce(v1alpha1.ExperimentStatus{DesiredPhase: k.phase, Records: k.records})
		if k.want == "" {
			assert.NoError(t, err, k.name)
			continue
		}
		assert.ErrorContains(t, err, k.want, k.name)
		assert.Equal(t, k.name == "in vain", strings.Contains(err.Error(), errChaosFailing.Error()))
	}
}

func TestChaosPartitionsThatCutOffTheRunner(t *testing.T) {
	here := livePod{podRef: podRef{Path: &path{Address: "127.0.0.1:80"}}}
	for _, c := range []struct {
		spec map[string]any
		cut  bool
	}{
		{map[string]any{"action": "partition"}, true},
		{map[string]any{"action": "delay"}, false},
		{map[string]any{"action": "partition", "device": "eth1"}, false},
		{map[string]any{"action": "partition", "target": map[string]any{}}, false},
		{map[string]any{"action": "partition", "externalTargets": []any{"127.0.0.0/8"}}, true},
		{map[string]any{"action": "partition", "externalTargets": []any{"10.0.0.1", "127.0.0.1"}}, true},
		{map[string]any{"action": "partition", "externalTargets": []any{"10.0.0.1", "example.org"}}, false},
	} {
		m := chaosManifest{kind: "NetworkChaos", spec: c.spec}
		assert.Equal(t, c.cut, m.cutsOff([]livePod{here}), "%v", c.spec)
		assert.False(t, m.cutsOff([]livePod{here, {}}), "one that could not be reached before")
	}
}

func TestChaosPrivileges(t *testing.T) {
	c := newFake(t).api(nil)
	of := func(with string) (all []string) {
		f, err := buildChaos(with)
		require.NoError(t, err)
		for _, p := range f.(drills.Privileged).Privileges(c) {
			all = append(all, strings.Join([]string{p.Namespace, p.Group + "/" + p.Resource, strings.Join(p.Verbs, ",")}, " "))
		}
		return all
	}
	kill, cut := of(`{"podKill":{}}`), of(`{"networkPartition":{},"replacePods":true,"chaosNamespace":"mesh"}`)
	assert.Contains(t, kill, "shop chaos-mesh.org/podchaos create,get,list,patch,delete")
	assert.False(t, slices.ContainsFunc(kill, func(p string) bool { return strings.HasSuffix(p, "/pods delete") }), "Chaos Mesh deletes them")
	assert.Subset(t, cut, []string{
		"shop chaos-mesh.org/networkchaos create,get,list,patch,delete", "shop chaos-mesh.org/podnetworkchaos get,patch",
		"shop /pods delete", "mesh discovery.k8s.io/endpointslices list",
	})
}

// The one that pod-kill uses needs no parameters that could be wrong.
func TestChaosPodKillOfOtherFaults(t *testing.T) {
	f, ok := newChaosPodKill(0).(*chaosFault)
	require.True(t, ok)
	assert.Equal(t, map[string]any{"action": "pod-kill"}, f.chaosManifest.spec)
}
