package injectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
)

// ChaosMeshSpec makes a fault through Chaos Mesh: a kind with its spec as in a
// manifest, or one of the shorthands. The object is made in the namespace of the
// target's pods, under a name of its own, and deleted to undo the fault. What Chaos
// Mesh calls a schedule, a workflow and a remote cluster are not used: a scenario and
// the kubeconfig's contexts are for that.
type ChaosMeshSpec struct {
	// Kind is the kind of the object. AWSChaos, AzureChaos, GCPChaos and
	// PhysicalMachineChaos break machines: their targets are nodes, and their spec
	// must name the machines of these.
	Kind string `json:"kind,omitempty" jsonschema:"enum=AWSChaos,enum=AzureChaos,enum=BlockChaos,enum=DNSChaos,enum=GCPChaos,enum=HTTPChaos,enum=IOChaos,enum=JVMChaos,enum=KernelChaos,enum=NetworkChaos,enum=PhysicalMachineChaos,enum=PodChaos,enum=StressChaos,enum=TimeChaos"`
	// Spec is the object's spec, word for word. Without a selector, the drill's targets
	// are filled in, and mode all. With one, it must select no pod outside the drill's
	// target. Other modes than all are refused: choose by the fault's target.
	Spec json.RawMessage `json:"spec,omitempty"`

	// PodKill deletes the pods.
	PodKill *ChaosPodKill `json:"podKill,omitempty"`
	// PodFailure has the pods run an image that does nothing, and restarts them.
	PodFailure *ChaosPodFailure `json:"podFailure,omitempty"`
	// NetworkPartition loses what the pods send and are sent.
	NetworkPartition *ChaosPartition `json:"networkPartition,omitempty"`
	// NetworkDelay has what the pods send arrive late.
	NetworkDelay *ChaosDelay `json:"networkDelay,omitempty"`
	// DNSError has the pods' queries for names fail; Chaos Mesh needs its DNS server
	// for that.
	DNSError *ChaosDNSError `json:"dnsError,omitempty"`
	// HTTPAbort cuts connections with requests that the pods are sent.
	HTTPAbort *ChaosHTTPAbort `json:"httpAbort,omitempty"`
	// IO has what the pods do with the files of a volume fail or take long.
	IO *ChaosIO `json:"io,omitempty"`
	// Stress uses up the CPU or the memory of the pods' containers.
	Stress *ChaosStress `json:"stress,omitempty"`
	// Time has the pods' clocks go wrong.
	Time *ChaosTime `json:"time,omitempty"`

	// Duration is after what time Chaos Mesh undoes the fault by itself, should runner
	// and watchdog be gone; default: as long as the fault may stay, what the watchdog
	// waits beyond that, and the time to undo it. One that is not longer than the fault
	// may stay is refused: the fault would end by itself. It counts from when the object
	// is made; a duration in spec wins over it.
	Duration spec.Duration `json:"duration,omitempty"`
	// InjectWithin is how long Chaos Mesh may take to make the fault on every target.
	InjectWithin spec.Duration `json:"injectWithin,omitempty"`
	// RevertWithin is how long it may take to undo it.
	RevertWithin spec.Duration `json:"revertWithin,omitempty"`
	// ReplacePods is the consent to the last resort, when Chaos Mesh has not undone the
	// fault within revertWithin: the pods that it acted on are deleted, so that others
	// take their places, and the object's finalizers are removed. The drill is dirty
	// nevertheless.
	ReplacePods bool `json:"replacePods,omitempty"`
	// ChaosNamespace is where Chaos Mesh itself is; default: where its webhooks
	// (chaos-mesh-mutation) say, or else chaos-mesh.
	ChaosNamespace string `json:"chaosNamespace,omitempty"`
}

var chaosMeshDefaults = ChaosMeshSpec{
	InjectWithin: spec.Duration(30 * time.Second), RevertWithin: spec.Duration(time.Minute),
}

// chaosFault is a fault that Chaos Mesh makes.
type chaosFault struct {
	spec ChaosMeshSpec
	chaosManifest
}

// chaosLasting is one that lasts, so that it can be asked whether it still does.
type chaosLasting struct{ *chaosFault }

func newChaosMesh(s ChaosMeshSpec) (drills.Injector, error) {
	if s.Duration < 0 {
		return nil, errors.New("duration: must not be negative")
	}
	for _, d := range []struct {
		name string
		is   spec.Duration
	}{{"injectWithin", s.InjectWithin}, {"revertWithin", s.RevertWithin}} {
		if d.is <= 0 {
			return nil, fmt.Errorf("%s: must be longer than 0s", d.name)
		}
	}
	m, err := s.manifest()
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	f := &chaosFault{spec: s, chaosManifest: m}
	if m.oneShot() {
		return f, nil
	}
	return chaosLasting{f}, nil
}

// newChaosPodKill deletes pods by way of Chaos Mesh, and gives them so long to end.
func newChaosPodKill(grace time.Duration) drills.Injector {
	s := chaosMeshDefaults
	s.PodKill = &ChaosPodKill{Grace: spec.Duration(grace)}
	f, err := newChaosMesh(s)
	if err != nil {
		panic(err) // it has no other parameters
	}
	return f
}

// chaosShorthand is one of those that the spec has.
type chaosShorthand interface {
	// manifest returns the kind, and its spec without the targets.
	manifest() (chaosManifest, error)
}

// manifest returns what the spec asks for; exactly one thing.
func (s ChaosMeshSpec) manifest() (chaosManifest, error) {
	var asked []chaosShorthand
	add := func(is bool, what chaosShorthand) {
		if is {
			asked = append(asked, what)
		}
	}
	add(s.Kind != "" || len(s.Spec) > 0, chaosVerbatim{s.Kind, s.Spec})
	add(s.PodKill != nil, s.PodKill)
	add(s.PodFailure != nil, s.PodFailure)
	add(s.NetworkPartition != nil, s.NetworkPartition)
	add(s.NetworkDelay != nil, s.NetworkDelay)
	add(s.DNSError != nil, s.DNSError)
	add(s.HTTPAbort != nil, s.HTTPAbort)
	add(s.IO != nil, s.IO)
	add(s.Stress != nil, s.Stress)
	add(s.Time != nil, s.Time)
	if len(asked) != 1 {
		return chaosManifest{}, errors.New("want exactly one of: kind and spec, podKill, podFailure, networkPartition, networkDelay, dnsError, httpAbort, io, stress, time")
	}
	return asked[0].manifest()
}
