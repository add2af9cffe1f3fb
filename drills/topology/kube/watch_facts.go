package kube

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"firedrill/drills/si"
)

// habits says how a pod comes and goes: what its recovery depends on. They are facts
// that a verdict quotes.
func habits(p *corev1.Pod) map[string]string {
	out := map[string]string{"readiness": "none", "preStop": "none"}
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		out["grace"] = si.Duration(float64(*s))
	}
	// Of several containers, the last one that has any: they are told apart in the pod.
	for _, c := range p.Spec.Containers {
		if r := c.ReadinessProbe; r != nil {
			out["readiness"] = readiness(r)
		}
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			out["preStop"] = preStop(c.Lifecycle.PreStop)
		}
	}
	return out
}

// readiness says when a pod is asked whether it is ready.
func readiness(r *corev1.Probe) string {
	seconds := func(n int32) string { return si.Duration(float64(n)) }
	out := "every " + seconds(max(r.PeriodSeconds, 1))
	if r.InitialDelaySeconds > 0 {
		out += ", first after " + seconds(r.InitialDelaySeconds)
	}
	if r.SuccessThreshold > 1 {
		out += fmt.Sprintf(", %d times", r.SuccessThreshold)
	}
	return out
}

func preStop(h *corev1.LifecycleHandler) string {
	switch {
	case h.Sleep != nil:
		return "sleep " + si.Duration(float64(h.Sleep.Seconds))
	case h.Exec != nil:
		return "exec"
	case h.HTTPGet != nil:
		return "http"
	}
	return "tcp"
}
