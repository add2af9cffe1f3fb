package injectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// chaosManifest is an object of Chaos Mesh, without its name and its targets.
type chaosManifest struct {
	kind string
	// spec is plain JSON, so that only what was asked for is sent: the types here may be
	// newer than those that are installed.
	spec map[string]any
	// peers asks for the other side of a partition to be filled in.
	peers bool
}

// chaosVerbatim is a kind with a spec as in a manifest.
type chaosVerbatim struct {
	kind string
	spec json.RawMessage
}

func (v chaosVerbatim) manifest() (chaosManifest, error) {
	if v.kind == "" {
		return chaosManifest{}, fmt.Errorf("kind: is needed with spec: one of %s", strings.Join(chaosKinds(), ", "))
	}
	m := chaosManifest{kind: v.kind, spec: map[string]any{}}
	if len(v.spec) > 0 {
		if err := utiljson.Unmarshal(v.spec, &m.spec); err != nil {
			return m, fmt.Errorf("spec: want an object: %w", err)
		}
	}
	if m.spec == nil {
		m.spec = map[string]any{}
	}
	return m, nil
}

// chaosKinds are the kinds of faults that Chaos Mesh's API has.
func chaosKinds() []string { return slices.Sorted(maps.Keys(v1alpha1.AllKinds())) }

// chaosMachines are the kinds whose targets are no pods.
var chaosMachines = []string{"AWSChaos", "AzureChaos", "GCPChaos", "PhysicalMachineChaos"}

// onMachines tells whether the targets are machines rather than pods.
func (m chaosManifest) onMachines() bool { return slices.Contains(chaosMachines, m.kind) }

// check refuses what no Chaos Mesh could understand.
func (m chaosManifest) check() error {
	if _, err := m.typed(); err != nil {
		return err
	}
	if _, ok := m.spec["remoteCluster"]; ok {
		return errors.New("spec.remoteCluster: is not supported: give the component the kubeconfig or context of that cluster instead")
	}
	if d, ok := m.spec["duration"]; ok {
		text, _ := d.(string)
		if t, err := time.ParseDuration(text); err != nil || t <= 0 {
			return fmt.Errorf("spec.duration: %v: want a length of time like 10m", d)
		}
	}
	return m.checkModes()
}

// checkModes refuses to have Chaos Mesh choose some of the pods: whom the fault is to
// hit must be known, and recorded, before it is made.
func (m chaosManifest) checkModes() error {
	all, err := m.selectors()
	if err != nil {
		return nil //nolint:nilerr // what selects nothing has no mode
	}
	for side, s := range all {
		if s.Mode != "" && s.Mode != v1alpha1.AllMode {
			return fmt.Errorf("spec%s.mode: %s: it would not be known before the fault whom Chaos Mesh chooses: leave mode out, which is all, and choose by the fault's target (count, percent)",
				chaosSide(side), s.Mode)
		}
	}
	return nil
}

// chaosSide is where in a spec the selector of a side is.
func chaosSide(key string) string { return strings.TrimSuffix(strings.ToLower(key), ".") }

// typed is the object as Chaos Mesh's own type; fields that it does not have are an
// error with their path.
func (m chaosManifest) typed() (client.Object, error) {
	k, ok := v1alpha1.AllKinds()[m.kind]
	if !ok {
		return nil, fmt.Errorf("kind: %q: want one of %s", m.kind, strings.Join(chaosKinds(), ", "))
	}
	o := k.SpawnObject()
	err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(map[string]any{"spec": m.spec}, o, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		return nil, fmt.Errorf("%w: %s of Chaos Mesh's API does not have it", errors.Join(strict.Errors()...), m.kind)
	}
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return o, nil
}

// oneShot tells whether the fault happens once and does not last.
func (m chaosManifest) oneShot() bool {
	o, err := m.typed()
	inner, ok := o.(v1alpha1.InnerObject)
	return err == nil && ok && inner.IsOneShot()
}

// action is the spec's, "" without.
func (m chaosManifest) action() string {
	a, _ := m.spec["action"].(string)
	return a
}

// kills tells whether the fault takes the pods away: nothing of it is left on the ones
// that come in their places.
func (m chaosManifest) kills() bool { return m.kind == "PodChaos" && m.action() == "pod-kill" }

// needsDaemon tells whether it takes Chaos Mesh's daemon on the nodes of the targets.
func (m chaosManifest) needsDaemon() bool {
	return !m.onMachines() && (m.kind != "PodChaos" || m.action() == "container-kill")
}

// selectors are those of the pods to break ("."), and of the other side (".Target").
func (m chaosManifest) selectors() (map[string]v1alpha1.PodSelector, error) {
	o, err := m.typed()
	if err != nil {
		return nil, err
	}
	with, ok := o.(v1alpha1.InnerObjectWithSelector)
	if !ok {
		return nil, fmt.Errorf("%s selects nothing", m.kind)
	}
	all := map[string]v1alpha1.PodSelector{}
	for key, s := range with.GetSelectorSpecs() {
		switch s := s.(type) {
		case *v1alpha1.PodSelector:
			all[key] = *s
		case *v1alpha1.ContainerSelector:
			all[key] = s.PodSelector
		case *v1alpha1.ContainerNodeVolumePathSelector:
			all[key] = s.PodSelector
		}
	}
	if _, ok := all["."]; !ok && !m.onMachines() {
		return nil, fmt.Errorf("spec.action: %q: %s has no such action", m.action(), m.kind)
	}
	return all, nil
}

// filled is the manifest with the drill's targets where it names none itself.
func (m chaosManifest) filled(targets, peers map[string][]string, duration time.Duration) chaosManifest {
	m.spec = maps.Clone(m.spec)
	if _, ok := m.spec["duration"]; !ok {
		m.spec["duration"] = duration.String()
	}
	if m.onMachines() {
		return m
	}
	if _, ok := m.spec["selector"]; !ok {
		m.spec["selector"] = chaosPodNames(targets)
	}
	if _, ok := m.spec["mode"]; !ok {
		m.spec["mode"] = "all"
	}
	if m.peers {
		m.spec["target"] = map[string]any{"mode": "all", "selector": chaosPodNames(peers)}
	}
	return m
}

// chaosPodNames selects pods by their names.
func chaosPodNames(byNamespace map[string][]string) map[string]any {
	pods := map[string]any{}
	for ns, names := range byNamespace {
		putStrings(pods, ns, names)
	}
	return map[string]any{"pods": pods}
}
