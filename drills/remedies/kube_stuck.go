package remedies

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// stuckPod is a pod that does not come along by itself.
type stuckPod struct {
	pod corev1.Pod
	// why says in a few words what holds it, and since when.
	why string
	// force tells that nobody is there to end it: it goes only without being ended.
	force bool
}

// stuck says whether a pod is, and has been for longer than after; nil if not. lost are
// the nodes whose kubelet is not heard of, with since when.
func stuck(p corev1.Pod, lost map[string]time.Time, now time.Time, after time.Duration) *stuckPod {
	node, away := lost[p.Spec.NodeName]
	since := func(at time.Time) (string, bool) {
		return now.Sub(at).Round(time.Second).String(), now.Sub(at) >= after
	}
	if p.DeletionTimestamp != nil {
		// The stamp is when its grace is over.
		ago, long := since(p.DeletionTimestamp.Time)
		if !long {
			return nil
		}
		s := &stuckPod{pod: p, why: "Terminating, and past its grace for " + ago, force: !ended(&p)}
		if away {
			s.why += ", on the lost node " + p.Spec.NodeName
		}
		return s
	}
	if away || p.Status.Phase == corev1.PodUnknown {
		if !away {
			node = notReadySince(&p)
		}
		if ago, long := since(node); long {
			return &stuckPod{pod: p, why: fmt.Sprintf("Unknown: node %s has been lost for %s", p.Spec.NodeName, ago), force: true}
		}
		return nil
	}
	if name := crashes(&p); name != "" {
		if ago, long := since(notReadySince(&p)); long {
			return &stuckPod{pod: p, why: fmt.Sprintf("CrashLoopBackOff of container %s, and not ready for %s", name, ago)}
		}
	}
	return nil
}

// ended tells whether the kubelet has ended the pod, or never had it: then only
// finalizers keep it.
func ended(p *corev1.Pod) bool {
	if p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0 {
		return true
	}
	return p.Spec.NodeName == ""
}

// crashes names the container that is in a crash loop. Kubelets may show it as ended
// for as long as they hold it back.
func crashes(p *corev1.Pod) string {
	for _, c := range p.Status.InitContainerStatuses {
		if heldBack(c) || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 && c.RestartCount > 0 {
			return c.Name
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		failed := c.State.Terminated != nil && (c.State.Terminated.ExitCode != 0 || p.Spec.RestartPolicy == corev1.RestartPolicyAlways)
		if heldBack(c) || failed && c.RestartCount > 0 {
			return c.Name
		}
	}
	return ""
}

// heldBack tells whether a kubelet says that it waits before it starts a container again.
func heldBack(c corev1.ContainerStatus) bool {
	return c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
}

// notReadySince is when the pod was ready last, or else made.
func notReadySince(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}

// lostNodes are those that pods are said to be on and whose kubelet is not heard of.
func lostNodes(nodes []corev1.Node, pods []corev1.Pod) map[string]time.Time {
	lost, known := map[string]time.Time{}, map[string]bool{}
	for _, n := range nodes {
		known[n.Name] = true
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
				lost[n.Name] = c.LastTransitionTime.Time
			}
		}
	}
	for i := range pods {
		if name := pods[i].Spec.NodeName; name != "" && !known[name] {
			lost[name] = notReadySince(&pods[i])
		}
	}
	return lost
}

// consent says what of the scenario's consent is missing to delete the pod, "" if
// nothing is.
func (s stuckPod) consent(force, finalizers bool) string {
	var needs []string
	if s.force && !force {
		needs = append(needs, "with.force: true would delete it without waiting for its containers to end, and they may still run: two of one name, for a StatefulSet")
	}
	if len(s.pod.Finalizers) > 0 && !finalizers {
		needs = append(needs, fmt.Sprintf("with.finalizers: true would remove %s, and what those wait for is not done", strings.Join(s.pod.Finalizers, ", ")))
	}
	return strings.Join(needs, "; ")
}

// remove deletes the pod and waits until it is gone.
func (s stuckPod) remove(ctx context.Context, o kubeObject, within time.Duration) error {
	if s.pod.DeletionTimestamp == nil || s.force {
		if err := s.delete(ctx, o); err != nil {
			return err
		}
	}
	if len(s.pod.Finalizers) > 0 {
		if err := unfinalize(ctx, o); err != nil {
			return err
		}
	}
	return gone(ctx, o, within)
}
