package injectors

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
)

// checkAlso refuses permission for what needs none.
func checkAlso(also []string) error {
	for i, ns := range also {
		if !kube.Reserved(ns) {
			return fmt.Errorf("alsoFrom[%d]: %q: it is for %s: pods of other namespaces need no permission, and those of protected ones get none",
				i, ns, kube.ReservedNames())
		}
	}
	return nil
}

// guardSpared refuses to take pods from namespaces that drills keep away from; also are
// those that the scenario allows.
func guardSpared(ctx context.Context, pods []livePod, also []string) error {
	seen := map[string]bool{}
	for _, p := range pods {
		ns := p.Place.Namespace
		if seen[ns] {
			continue
		}
		seen[ns] = true
		if kube.Reserved(ns) && !slices.Contains(also, ns) {
			return fmt.Errorf("it would take %s away from node %s: namespace %s keeps the cluster or its chaos tools going: "+
				"choose a node without its pods, or allow it (with.alsoFrom: [%s])", p, p.pod.Spec.NodeName, ns, ns)
		}
		if mark, err := p.cluster.Protected(ctx, ns); mark != "" || err != nil {
			return cmp.Or(err, fmt.Errorf("it would take %s away from node %s: namespace %s is marked %s, somebody does not want it drilled: choose a node without its pods",
				p, p.pod.Spec.NodeName, ns, mark))
		}
	}
	return nil
}

// guardPlaces refuses pods in namespaces that drills keep away from, for components of
// other kinds whose members are pods.
func guardPlaces(ctx context.Context, pods []livePod) error {
	seen := map[string]bool{}
	for _, p := range pods {
		ns := p.Place.Namespace
		if seen[ns] {
			continue
		}
		seen[ns] = true
		if kube.Reserved(ns) {
			return fmt.Errorf("%s at %s must not be hit: namespace %s keeps the cluster or its chaos tools going, and is never drilled", p, p.cluster.Says, ns)
		}
		if mark, err := p.cluster.Protected(ctx, ns); mark != "" || err != nil {
			return cmp.Or(err, fmt.Errorf("%s at %s must not be hit: namespace %s is marked %s, somebody does not want it drilled", p, p.cluster.Says, ns, mark))
		}
	}
	return nil
}

// guardTaken refuses to take so many pods from nodes that a component of the topology
// has fewer left than it must keep, or a StatefulSet no majority. Where evictions take
// them, disruption budgets bound how many are away at once.
func guardTaken(ctx context.Context, t drills.Target, pods []livePod, evicted bool) error {
	left := slices.Clone(pods)
	for _, c := range t.Around {
		a, ok := c.Adapter.(*kube.Pods)
		if !ok {
			continue
		}
		own, err := guardShare(ctx, c.Name(), a, left, evicted)
		if err != nil {
			return err
		}
		if a.Spec.MinAvailable > 0 { // it says more than the rule for those of which nobody says anything
			left = slices.DeleteFunc(left, func(p livePod) bool { return own[p.UID] })
		}
	}
	sets := map[kube.Place][]livePod{}
	for _, p := range left {
		if w, err := kube.ParseWorkload(p.Keeper); err == nil && w.Kind == kube.StatefulSet {
			k := kube.Place{Access: p.Place.Access, Namespace: p.Place.Namespace, Workload: p.Keeper}
			sets[k] = append(sets[k], p)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(sets), func(x, y kube.Place) int {
		return strings.Compare(x.Namespace+"/"+x.Workload, y.Namespace+"/"+y.Workload)
	}) {
		if err := guardSet(ctx, k, sets[k], evicted); err != nil {
			return err
		}
	}
	return nil
}

// guardShare refuses to leave a component fewer ready pods than it must keep, and
// returns which of the pods are its own.
func guardShare(ctx context.Context, name string, a *kube.Pods, pods []livePod, evicted bool) (own map[types.UID]bool, err error) {
	_, ns, err := a.Open()
	if err != nil || !slices.ContainsFunc(pods, func(p livePod) bool { return p.Place.Namespace == ns }) {
		return nil, err
	}
	all, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	own = map[types.UID]bool{}
	ready := 0
	for i := range all {
		if kube.Ready(&all[i]) {
			ready++
		}
		own[all[i].UID] = true
	}
	hit := slices.DeleteFunc(slices.Clone(pods), func(p livePod) bool { return !own[p.UID] })
	if len(hit) == 0 {
		return own, nil
	}
	away, err := awayAtOnce(ctx, hit, evicted)
	if err != nil {
		return nil, err
	}
	return own, guardFloor(ctx, name, a, ready, ready-away)
}

// guardSet refuses to leave a StatefulSet without a majority of ready pods.
func guardSet(ctx context.Context, set kube.Place, hit []livePod, evicted bool) error {
	c, w := hit[0].cluster, kube.Workload{Kind: kube.StatefulSet, Name: strings.TrimPrefix(set.Workload, kube.StatefulSet+"/")}
	s, err := c.Look(ctx, set.Namespace, w)
	if err != nil {
		return err
	}
	least := kube.Majority(s.Wanted)
	if least == 0 {
		return nil
	}
	list, err := podsOfWorkload(ctx, c, set.Namespace, set.Workload)
	if err != nil {
		return err
	}
	ready := 0
	for i := range list {
		if kube.Ready(&list[i]) {
			ready++
		}
	}
	away, err := awayAtOnce(ctx, hit, evicted)
	if err != nil || ready-away >= least {
		return err
	}
	return fmt.Errorf("it would leave %d of the %d ready pods of %s in namespace %s, fewer than %d: a majority of its %d is needed to decide anything "+
		"(a component of kind %s for it says otherwise by with.minAvailable)", ready-away, ready, w, set.Namespace, least, s.Wanted, kube.PodsKind)
}

// awayAtOnce is how many of ready pods are away at the same time at most.
func awayAtOnce(ctx context.Context, pods []livePod, evicted bool) (int, error) {
	ready := slices.DeleteFunc(slices.Clone(pods), func(p livePod) bool { return !kube.Ready(p.pod) })
	if !evicted || len(ready) == 0 {
		return len(ready), nil
	}
	p := ready[0]
	list, err := p.cluster.Client.PolicyV1().PodDisruptionBudgets(p.Place.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, p.cluster.Explain("list the disruption budgets in namespace "+p.Place.Namespace, err)
	}
	away, bound := 0, map[types.UID]bool{}
	for i := range list.Items {
		if n := boundBy(&list.Items[i], ready, bound); n > 0 {
			away += min(n, max(1, int(list.Items[i].Status.DisruptionsAllowed)))
		}
	}
	return away + len(ready) - len(bound), nil
}

// boundBy counts the pods that a budget is about, and notes them, but for those that
// another budget is about.
func boundBy(b *policyv1.PodDisruptionBudget, pods []livePod, bound map[types.UID]bool) (n int) {
	for _, p := range pods {
		if b.Namespace == p.Place.Namespace && !bound[p.UID] && covers(b, p.pod) {
			bound[p.UID] = true
			n++
		}
	}
	return n
}
