package injectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills/topology/control/poll"
)

// chaosStatus reads what Chaos Mesh says of an object. Its conditions are left alone:
// they lag behind the records, and AllRecovered holds before the fault as well.
func chaosStatus(o *unstructured.Unstructured) (s v1alpha1.ExperimentStatus, err error) {
	experiment, _, err := unstructured.NestedMap(o.Object, "status", "experiment")
	if err != nil {
		return s, err
	}
	b, err := json.Marshal(experiment)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// errChaosFailing is in the error of a record that Chaos Mesh tries in vain.
var errChaosFailing = errors.New("trying again and again, Chaos Mesh fails")

// inForce returns nil if every target is injected and nobody else. What more waiting
// cannot cure is marked by poll.Stop.
func (u chaosUndo) inForce(s v1alpha1.ExperimentStatus) error {
	if len(s.Records) == 0 {
		return fmt.Errorf("%s: Chaos Mesh has not chosen its targets: does its controller run, and may it act in namespace %s?", u, u.Namespace)
	}
	if err := u.planned(s); err != nil {
		return poll.Stop(err)
	}
	if s.DesiredPhase != v1alpha1.RunningPhase {
		return poll.Stop(fmt.Errorf("%s is not to run any more: its duration is over, or somebody paused or deleted it", u))
	}
	for _, r := range s.Records {
		if r.Phase == v1alpha1.Injected {
			continue
		}
		err := fmt.Errorf("%s: %s is %s", u, r.Id, strings.ToLower(string(r.Phase)))
		if why := chaosFailure(r, v1alpha1.Apply); why != "" {
			err = fmt.Errorf("%w: %w: %s", err, errChaosFailing, why)
		}
		return err
	}
	return nil
}

// planned compares what Chaos Mesh has chosen with what was planned. It chooses once,
// and leaves out pods that are not there without a word.
func (u chaosUndo) planned(s v1alpha1.ExperimentStatus) error {
	if u.manifest().onMachines() {
		return nil // what the spec names was compared with the targets before
	}
	sides := map[string][]string{".": chaosPodKeys(u.Pods), ".Target": chaosPodKeys(u.Peers)}
	chosen := map[string]bool{}
	for _, r := range s.Records {
		key := chaosKey(r.Id)
		if !slices.Contains(sides[r.SelectorKey], key) {
			return fmt.Errorf("%s: Chaos Mesh has chosen pod %s, which is not the drill's to break: its targets are %s", u, key, strings.Join(sides[r.SelectorKey], ", "))
		}
		chosen[r.SelectorKey+" "+key] = true
	}
	for side, keys := range sides {
		for _, key := range keys {
			if !chosen[side+" "+key] {
				return fmt.Errorf("%s: Chaos Mesh has left out pod %s: it is not there any more, or Chaos Mesh may not act in its namespace", u, key)
			}
		}
	}
	return nil
}

// chaosKey is the namespace and the name of a record's pod; containers and volumes
// follow.
func chaosKey(id string) string {
	parts := strings.SplitN(id, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// chaosFailure is why the last attempt at a record came to nothing, "" if it did not.
func chaosFailure(r *v1alpha1.Record, at v1alpha1.RecordEventOperation) string {
	if len(r.Events) == 0 {
		return ""
	}
	last := r.Events[len(r.Events)-1]
	if last.Type != v1alpha1.TypeFailed || last.Operation != at {
		return ""
	}
	return strings.Join(strings.Fields(last.Message), " ")
}
