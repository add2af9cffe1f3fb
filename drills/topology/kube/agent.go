package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/topology"
	"firedrill/drills/vantage"
)

// AgentSpec says how a pod is made that probes look from (from in a scenario).
type AgentSpec struct {
	// Image is one whose entry point is firedrill, of the same version as the runner.
	Image string `json:"image,omitempty"`
	// Namespace is where the pod is made; default: that of the component's pods.
	Namespace string `json:"namespace,omitempty"`
	// ServiceAccount is whose image pull secrets and policies apply; its token is not
	// mounted. Default: that of the namespace.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// ImagePullPolicy is that of the pod.
	ImagePullPolicy string `json:"imagePullPolicy,omitempty" jsonschema:"enum=Always,enum=IfNotPresent,enum=Never"`
}

const (
	// agentName is the name of the container, and what the pods' names begin with.
	agentName = "firedrill-agent"
	// nameLabel is the common label for what a pod is.
	nameLabel = "app.kubernetes.io/name"
	// agentWithin is how long an agent's pod has until it runs: an image is pulled.
	agentWithin = 90 * time.Second
	// agentGrace is how long an agent has to end, agentGone how long its pod to be gone
	// before it is deleted whatever its node says.
	agentGrace, agentGone = 1, 10 * time.Second
	// agentEvery is how often it is asked whether a pod has come or gone.
	agentEvery = 100 * time.Millisecond
)

// agentPod is all that another process needs to find an agent.
type agentPod struct {
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	RunID     string        `json:"run_id"`
	At        vantage.Place `json:"at"`
	Longest   time.Duration `json:"longest_ns"`
}

func (p agentPod) String() string { return "pod " + p.Namespace + "/" + p.Name }

// CanHost implements vantage.Host.
func (a *Pods) CanHost() error {
	if a.Spec.Agent.Image == "" {
		return fmt.Errorf("component %s: with.agent.image is needed in the topology file: an image whose entry point is firedrill", a.Component.Name())
	}
	return nil
}

// AgentPrivileges implements vantage.Host.
func (a *Pods) AgentPrivileges() []topology.Privilege {
	ns, _ := a.namespace() // without one, what is missing is said when it is opened
	ns = cmp.Or(a.Spec.Agent.Namespace, ns)
	const why = "probe agents"
	return []topology.Privilege{
		{Resource: "pods", Verbs: []string{"create", "get", "delete"}, Namespace: ns, For: why},
		// WebSockets begin with a GET.
		{Resource: "pods/attach", Verbs: []string{"create", "get"}, Namespace: ns, For: why},
	}
}

// PlanAgent implements vantage.Host.
func (a *Pods) PlanAgent(runID string, number int, at vantage.Place, longest time.Duration) (json.RawMessage, string, error) {
	if err := a.CanHost(); err != nil {
		return nil, "", err
	}
	ns, err := a.namespace()
	if err != nil {
		return nil, "", err
	}
	p := agentPod{
		Namespace: cmp.Or(a.Spec.Agent.Namespace, ns), At: at, Longest: longest, RunID: runID,
		Name: fmt.Sprintf("%s-%s-%d", agentName, runID, number),
	}
	made, err := json.Marshal(p)
	return made, "delete " + p.String(), err
}

// StartAgent implements vantage.Host.
func (a *Pods) StartAgent(ctx context.Context, made json.RawMessage) (vantage.Link, error) {
	c, p, err := a.agent(made)
	if err != nil {
		return nil, err
	}
	if _, err := c.Client.CoreV1().Pods(p.Namespace).Create(ctx, a.agentManifest(p), metav1.CreateOptions{}); err != nil {
		return nil, c.Explain("make "+p.String()+" for a probe agent", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, agentWithin, fmt.Errorf("not within %s", agentWithin))
	defer cancel()
	tick := time.NewTicker(agentEvery)
	defer tick.Stop()
	for {
		pod, err := c.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil && ctx.Err() == nil {
			return nil, c.Explain("look at "+p.String(), err)
		}
		var why string
		if err == nil {
			if agentRuns(pod) {
				return &agentLink{Cluster: c, agentPod: p}, nil
			}
			why = Ailment(pod)
			if hopeless(pod) {
				return nil, fmt.Errorf("%s of a probe agent in %s does not run: %s", p, p.At, why)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s of a probe agent in %s does not run: %w: %s", p, p.At, context.Cause(ctx), why)
		}
	}
}

// IsAgent tells whether a pod is a probe agent of a drill: it is no part of what is
// drilled.
func IsAgent(p *corev1.Pod) bool {
	return p.Labels[RunLabel] != "" && p.Labels[nameLabel] == agentName
}

// agentRuns tells whether the agent of a pod can be attached to.
func agentRuns(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == agentName && s.State.Running != nil
	})
}

// hopeless tells whether a pod will not run, however long one waits.
func hopeless(p *corev1.Pod) bool {
	never := []string{"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
	return !Lives(p) || slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Terminated != nil || s.State.Waiting != nil && slices.Contains(never, s.State.Waiting.Reason)
	})
}

// agent reads what PlanAgent said.
func (a *Pods) agent(made json.RawMessage) (*Cluster, agentPod, error) {
	var p agentPod
	if err := json.Unmarshal(made, &p); err != nil {
		return nil, p, fmt.Errorf("probe agent: %w", err)
	}
	c, err := a.Spec.Open()
	return c, p, err
}

// agentManifest is the pod of an agent. It is allowed where the strictest of the pod
// security standards is enforced. It stays on a node that is being emptied by a taint,
// as what is to be seen from there is the point of it.
func (a *Pods) agentManifest(p agentPod) *corev1.Pod {
	no, yes, grace, longest := false, true, int64(agentGrace), int64(max(p.Longest/time.Second, 1))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: p.Namespace,
			Labels: map[string]string{RunLabel: p.RunID, nameLabel: agentName},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, ActiveDeadlineSeconds: &longest, TerminationGracePeriodSeconds: &grace,
			ServiceAccountName: a.Spec.Agent.ServiceAccount, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Affinity:    affinity(p.At),
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
			Containers: []corev1.Container{{
				Name: agentName, Image: a.Spec.Agent.Image, Args: []string{"agent"},
				ImagePullPolicy: corev1.PullPolicy(a.Spec.Agent.ImagePullPolicy),
				Stdin:           true, // stays open when a connection breaks, so that another one can be made
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// affinity keeps a pod to a place.
func affinity(at vantage.Place) *corev1.Affinity {
	var term corev1.NodeSelectorTerm
	in := func(key, value string) []corev1.NodeSelectorRequirement {
		if value == "" {
			return nil
		}
		return []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}
	}
	term.MatchExpressions = in(corev1.LabelTopologyZone, at.Zone)
	term.MatchFields = in(metav1.ObjectNameField, at.Node)
	if at == (vantage.Place{}) {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}},
	}}
}

// RemoveAgent implements vantage.Host: the pod is deleted, and is gone then. A pod of
// that name which is not the run's stays.
func (a *Pods) RemoveAgent(ctx context.Context, made json.RawMessage) error {
	c, p, err := a.agent(made)
	if err != nil {
		return err
	}
	pod, err := c.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	if gone(err) || err == nil && pod.Labels[RunLabel] != p.RunID {
		return nil
	}
	if err != nil {
		return c.Explain("look at "+p.String(), err)
	}
	grace, deadline := int64(agentGrace), time.Now().Add(agentGone)
	tick := time.NewTicker(agentEvery)
	defer tick.Stop()
	for asked := false; ; {
		if time.Now().After(deadline) && grace > 0 {
			grace, asked = 0, false // its node does not answer
		}
		if !asked {
			err := c.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
				GracePeriodSeconds: &grace, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
			})
			if gone(err) || apierrors.IsConflict(err) {
				return nil
			}
			if err != nil {
				return c.Explain("delete "+p.String(), err)
			}
			asked = true
		}
		now, err := c.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if gone(err) || err == nil && now.UID != pod.UID {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("delete %s: it is still there: %w", p, errors.Join(context.Cause(ctx), err))
		}
	}
}
