package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// quorate is the size from which the members of a StatefulSet are taken to vote.
const quorate = 3

// Floor says how many ready pods a drill must leave, and why: with.minAvailable where
// it is given, else a majority of every StatefulSet that is large enough to vote. It
// is 0 where nothing but the scenario bounds a drill.
func (a *Pods) Floor(ctx context.Context) (least int, why string, err error) {
	if a.Spec.MinAvailable > 0 {
		return a.Spec.MinAvailable, fmt.Sprintf("with.minAvailable is %d", a.Spec.MinAvailable), nil
	}
	sets, others, err := a.sets(ctx)
	if err != nil {
		return 0, "", err
	}
	total, spare := others, -1
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		n := sets[name]
		total += n
		if n < quorate {
			continue
		}
		if lose := n - Majority(n); spare < 0 || lose < spare {
			spare = lose
			why = fmt.Sprintf("statefulset/%s has %d pods, and a majority of them is %d: without it nothing is decided any more (with.minAvailable says otherwise)", name, n, n-lose)
		}
	}
	if spare < 0 {
		return 0, "", nil
	}
	return total - spare, why, nil
}

// sets returns how many pods each StatefulSet of the component is to have, and how
// many pods there are besides.
func (a *Pods) sets(ctx context.Context) (sets map[string]int, others int, err error) {
	if a.Spec.Workload != "" {
		w, err := ParseWorkload(a.Spec.Workload)
		if err != nil || w.Kind != StatefulSet {
			return nil, 0, err
		}
		_, n, err := a.Wanted(ctx)
		return map[string]int{w.Name: n}, 0, err
	}
	pods, err := a.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	sets = map[string]int{}
	for i := range pods {
		name := setOf(&pods[i])
		if name == "" {
			others++
			continue
		}
		sets[name] = max(sets[name], ordinal(&pods[i])+1)
	}
	if len(sets) == 1 && others == 0 {
		for name, n := range sets {
			sets[name] = max(n, a.Spec.Replicas)
		}
	}
	return sets, others, nil
}

// setOf is the StatefulSet that keeps a pod, "" if none does.
func setOf(p *corev1.Pod) string {
	if o := metav1.GetControllerOf(p); o != nil && o.Kind == "StatefulSet" && strings.HasPrefix(o.APIVersion, "apps/") {
		return o.Name
	}
	return ""
}

// ordinal is the number at the end of the name of a StatefulSet's pod.
func ordinal(p *corev1.Pod) int {
	n, err := strconv.Atoi(p.Name[strings.LastIndexByte(p.Name, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}
