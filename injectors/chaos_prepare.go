package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// Prepare needs Chaos Mesh to be installed and able to make this very fault, and pods
// that are ready. It makes nothing.
func (f *chaosFault) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	u := chaosUndo{Kind: f.kind, Name: "firedrill-" + newID(), Run: t.Run}
	var err error
	if f.onMachines() {
		err = f.planMachines(ctx, t, &u)
	} else {
		err = f.planPods(ctx, t, &u)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	if err := f.preflight(ctx, &u); err != nil {
		return drills.Undo{}, err
	}
	says := fmt.Sprintf("delete %s and wait until Chaos Mesh has undone it", u)
	if hit := u.affected(); len(hit) > 0 {
		says += " on " + chaosNames(hit)
	}
	return writeUndo(says, u)
}

// planPods finds the pods that are to be hit.
func (f *chaosFault) planPods(ctx context.Context, t drills.Target, u *chaosUndo) error {
	pods, err := f.targets(ctx, t)
	if err != nil {
		return err
	}
	first := pods[0].Place
	u.Access, u.Namespace = first.Access, first.Namespace
	for _, p := range pods {
		if p.Place.Access != first.Access {
			return fmt.Errorf("%s is at another API server than %s: give each a fault of its own", p, pods[0])
		}
	}
	peers, err := f.otherSide(ctx, t)
	if err != nil {
		return err
	}
	lasts, err := f.lasts(t)
	if err != nil {
		return err
	}
	m := f.filled(byNamespace(pods), byNamespace(peers), lasts)
	u.Spec = m.spec
	if err := f.choose(ctx, m, u, pods, peers); err != nil {
		return err
	}
	u.Cut, u.Late = m.cutsOff(pods), spec.Duration(m.delays(pods))
	return nil
}

// chaosSpare is what Chaos Mesh leaves those who are meant to undo a fault beyond the
// time that they need for it.
const chaosSpare = time.Minute

// lasts is after what time Chaos Mesh is to undo the fault by itself.
func (f *chaosFault) lasts(t drills.Target) (time.Duration, error) {
	said, field := f.spec.Duration.Std(), "duration"
	if text, ok := f.chaosManifest.spec["duration"].(string); ok {
		said, _ = time.ParseDuration(text) // it was checked
		field = "spec.duration"
	}
	switch {
	case said == 0:
		return (t.Stay + f.spec.RevertWithin.Std() + chaosSpare).Round(time.Second), nil
	case said <= t.Stay && !f.oneShot():
		return 0, fmt.Errorf("%s: %s: Chaos Mesh would undo the fault by itself after that, and the drill may have it stay for %s (with what the watchdog waits): leave %s out, or make it longer",
			field, said, t.Stay, field)
	}
	return said, nil
}

// targets looks at the drill's pods; those that the fault takes away must come back,
// and be enough without them.
func (f *chaosFault) targets(ctx context.Context, t drills.Target) ([]livePod, error) {
	if f.kills() {
		return f.leaving(ctx, t)
	}
	pods, err := targetPods(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if err := kube.Spare(p.UID); err != nil {
			return nil, err
		}
		if !f.spec.ReplacePods {
			continue
		}
		if err := refuseNaked(p.pod); err != nil {
			return nil, fmt.Errorf("replacePods: %w", err)
		}
	}
	if !f.harmless() {
		if err := guardPods(ctx, t, pods); err != nil {
			return nil, err
		}
	}
	if f.partition() || f.delay() > 0 {
		tryPaths(ctx, pods, addressOf(t))
	}
	return pods, nil
}

// leaving looks at pods that are to be killed, and notes how long they are given.
func (f *chaosFault) leaving(ctx context.Context, t drills.Target) ([]livePod, error) {
	pods, err := leavingPods(ctx, t)
	seconds, _ := f.chaosManifest.spec["gracePeriod"].(int64)
	for i := range pods {
		pods[i].Grace = max(pods[i].Grace, spec.Duration(time.Duration(seconds)*time.Second))
	}
	return pods, err
}

// otherSide looks at the drill's other pods, if the fault has another side.
func (f *chaosFault) otherSide(ctx context.Context, t drills.Target) ([]livePod, error) {
	if _, named := f.chaosManifest.spec["target"].(map[string]any); !named && !f.peers {
		return nil, nil
	}
	if f.peers && len(t.Others) == 0 {
		return nil, errors.New("networkPartition.from: peers: there are none: let the fault name its peer, or cut off from everybody")
	}
	pods, err := podsOf(ctx, slices.Concat(t.Others, f.also(t)))
	if err != nil {
		return nil, fmt.Errorf("the other side: %w", err)
	}
	return pods, nil
}

// also are the drill's own pods, where a spec may name them as the other side as well.
func (f *chaosFault) also(t drills.Target) []*topology.Member {
	if f.peers {
		return nil
	}
	return t.Members
}

func byNamespace(pods []livePod) map[string][]string {
	all := map[string][]string{}
	for _, p := range pods {
		all[p.Place.Namespace] = append(all[p.Place.Namespace], p.Place.Pod)
	}
	return all
}

// preflight asks whether Chaos Mesh can make the fault.
func (f *chaosFault) preflight(ctx context.Context, u *chaosUndo) error {
	if err := u.installed(ctx); err != nil {
		return err
	}
	o, err := u.open()
	if err != nil {
		return err
	}
	if f.needsDaemon() {
		if err := o.daemons(ctx, f.spec.ChaosNamespace); err != nil {
			return err
		}
	}
	if err := o.alone(ctx); err != nil {
		return err
	}
	return o.rehearse(ctx)
}
