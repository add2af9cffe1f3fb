package kube

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Lives tells whether a pod is there to serve: it has not ended, and was not asked to.
func Lives(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// Ready tells whether a pod is ready for traffic.
func Ready(p *corev1.Pod) bool { return Lives(p) && has(p, corev1.PodReady) }

func has(p *corev1.Pod, t corev1.PodConditionType) bool {
	c := condition(p, t)
	return c != nil && c.Status == corev1.ConditionTrue
}

func condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == t {
			return c
		}
	}
	return nil
}

func restarts(p *corev1.Pod) (n int) {
	for _, c := range p.Status.ContainerStatuses {
		n += int(c.RestartCount)
	}
	return n
}

// Ailment says in one line why a pod is not ready, "" if it is.
func Ailment(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "it was asked to end"
	}
	if Ready(p) {
		return ""
	}
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return "not scheduled: " + cmp.Or(c.Message, c.Reason)
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			return fmt.Sprintf("container %s waits: %s", s.Name, cmp.Or(w.Reason+more(w.Message), "no reason given"))
		}
		if t := s.State.Terminated; t != nil {
			return fmt.Sprintf("container %s has ended: exit code %d%s", s.Name, t.ExitCode, more(t.Reason))
		}
	}
	if c := condition(p, corev1.PodReady); c != nil && c.Message != "" {
		return "not ready: " + c.Message
	}
	return fmt.Sprintf("not ready: phase %s%s", p.Status.Phase, more(p.Status.Reason))
}

func more(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
