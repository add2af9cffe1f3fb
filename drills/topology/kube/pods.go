package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// PodsKind is the name of the component kind.
const PodsKind = "kubernetes"

// PodsSpec says which pods a component is.
type PodsSpec struct {
	Access
	// Namespace is where the pods are; default: that of the context.
	Namespace string `json:"namespace,omitempty"`
	// Workload is what keeps the pods: deployment/NAME, statefulset/NAME,
	// replicaset/NAME or daemonset/NAME. It or selector is needed.
	Workload string `json:"workload,omitempty"`
	// Selector chooses the pods by their labels ("app=api"); default: the workload's.
	Selector string `json:"selector,omitempty"`
	// Replicas is how many pods must be ready before a drill; default: as many as the
	// workload wants.
	Replicas int `json:"replicas,omitempty" jsonschema:"minimum=0"`
	// MinAvailable is how many ready pods a drill must leave; fewer are refused.
	// Default: of a StatefulSet of three or more a majority, else no limit but the
	// scenario's.
	MinAvailable int `json:"minAvailable,omitempty" jsonschema:"minimum=0"`
	// Service is the Service that clients reach the pods through; its endpoints tell
	// when a pod gets traffic.
	Service string `json:"service,omitempty"`
	// Port is where the pods listen, for probes that look at one.
	Port int `json:"port,omitempty" jsonschema:"minimum=0,maximum=65535"`
	// RoleLabel is the label whose value is a pod's role (primary, replica).
	RoleLabel string `json:"roleLabel,omitempty"`
	// Settle is how long the pods may take to be ready again when everything is
	// restored.
	Settle spec.Duration `json:"settle,omitempty"`
	// Agent is what probes look from that are to stand in the cluster.
	Agent AgentSpec `json:"agent,omitzero"`
}

// Kind is the catalogue entry of components that are pods.
func Kind() kind.Kind[topology.NewAdapter] {
	defaults := PodsSpec{Settle: spec.Duration(2 * time.Minute)}
	return kind.New(PodsKind, "The pods of a workload in Kubernetes; they come and go, and are found.", defaults,
		func(s PodsSpec) (topology.NewAdapter, error) {
			if err := s.check(); err != nil {
				return nil, err
			}
			return func(c *topology.Component) (topology.Adapter, error) {
				if len(c.Spec.Members) > 0 {
					return nil, errors.New("members: the pods are found by with.selector or with.workload: remove them")
				}
				return &Pods{Spec: s, Component: c}, nil
			}, nil
		})
}

func (s PodsSpec) check() error {
	if s.Workload == "" && s.Selector == "" {
		return errors.New("with: workload or selector is needed to find the pods")
	}
	if s.Workload != "" {
		if _, err := ParseWorkload(s.Workload); err != nil {
			return fmt.Errorf("with.%w", err)
		}
	}
	if _, err := labels.Parse(s.Selector); err != nil {
		return fmt.Errorf("with.selector: %w", err)
	}
	return nil
}

// Pods is the adapter of a component whose members are pods.
type Pods struct {
	Spec      PodsSpec
	Component *topology.Component

	lock lock
}

// Open opens the cluster and says in which namespace the pods are.
func (a *Pods) Open() (*Cluster, string, error) {
	c, err := a.Spec.Open()
	if err != nil {
		return nil, "", err
	}
	return c, cmp.Or(a.Spec.Namespace, c.Namespace), nil
}

// Wanted returns the label selector of the pods and how many of them there are to be;
// 0 if nobody says.
func (a *Pods) Wanted(ctx context.Context) (selector string, replicas int, err error) {
	selector, replicas = a.Spec.Selector, a.Spec.Replicas
	if a.Spec.Workload == "" {
		return selector, replicas, nil
	}
	c, ns, err := a.Open()
	if err != nil {
		return "", 0, err
	}
	w, err := ParseWorkload(a.Spec.Workload)
	if err != nil {
		return "", 0, err
	}
	s, err := c.Look(ctx, ns, w)
	return cmp.Or(selector, s.Selector), cmp.Or(replicas, s.Wanted), err
}

// List returns the pods that are there to serve, by name: not those that have ended
// or were asked to.
func (a *Pods) List(ctx context.Context) ([]corev1.Pod, error) {
	c, ns, err := a.Open()
	if err != nil {
		return nil, err
	}
	selector, _, err := a.Wanted(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, c.Explain(fmt.Sprintf("list the pods %s in namespace %s", selector, ns), err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !Lives(&p) })
	slices.SortFunc(pods, func(x, y corev1.Pod) int { return strings.Compare(x.Name, y.Name) })
	return pods, nil
}

// Discover lists the pods and where they run.
func (a *Pods) Discover(ctx context.Context) (topology.State, error) {
	c, ns, err := a.Open()
	if err != nil {
		return topology.State{}, err
	}
	selector, want, err := a.Wanted(ctx)
	if err != nil {
		return topology.State{}, err
	}
	pods, err := a.List(ctx)
	if err != nil {
		return topology.State{}, err
	}
	zones, err := c.zones(ctx, pods)
	if err != nil {
		return topology.State{}, err
	}
	var st topology.State
	ready := 0
	for i := range pods {
		ms := a.member(&pods[i], ns, zones[pods[i].Spec.NodeName])
		if ms.Problem == "" {
			ready++
		}
		st.Members = append(st.Members, ms)
	}
	switch {
	case len(pods) == 0:
		st.Problem = c.nobody(ctx, ns, selector)
	case ready < want:
		st.Problem = fmt.Sprintf("%d of %d pods %s in namespace %s are ready", ready, want, selector, ns)
	}
	return st, nil
}

// member is a pod as a member of the component.
func (a *Pods) member(p *corev1.Pod, ns, zone string) topology.MemberState {
	ms := topology.MemberState{Member: p.Name, Role: topology.Instance, Labels: p.Labels, Facts: map[string]string{
		"node": p.Spec.NodeName, "uid": string(p.UID), "phase": string(p.Status.Phase), "ip": p.Status.PodIP,
		"restarts": strconv.Itoa(restarts(p)),
	}}
	maps.Copy(ms.Facts, habits(p))
	if role := topology.Role(p.Labels[a.Spec.RoleLabel]); a.Spec.RoleLabel != "" && role != "" {
		ms.Role = role
	}
	if !Ready(p) {
		ms.Role, ms.Problem = topology.Down, Ailment(p)
	}
	ms.Spec = &topology.MemberSpec{
		Name: p.Name, Site: zone, Address: p.Status.PodIP,
		Control: Place{Access: a.Spec.Access, Namespace: ns, Pod: p.Name}.control(),
	}
	if a.Spec.Port > 0 && p.Status.PodIP != "" {
		ms.Spec.Address = net.JoinHostPort(p.Status.PodIP, strconv.Itoa(a.Spec.Port))
	}
	return ms
}

// nobody says why no pod fits a selector, and what fits there.
func (c *Cluster) nobody(ctx context.Context, ns, selector string) string {
	what := fmt.Sprintf("no pod fits %s in namespace %s", selector, ns)
	if _, err := c.Client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); err != nil {
		return what + ": " + c.Explain("look at the namespace", err).Error()
	}
	all, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err != nil || len(all.Items) == 0 {
		return what + ": there are none at all"
	}
	asked, err := labels.ParseToRequirements(selector)
	seen := map[string]bool{}
	for _, p := range all.Items {
		l := labels.Set{}
		for _, r := range asked {
			if v, ok := p.Labels[r.Key()]; ok {
				l[r.Key()] = v
			}
		}
		if len(l) > 0 {
			seen[l.String()] = true
		}
	}
	if err != nil || len(seen) == 0 {
		return fmt.Sprintf("%s: none of the %d pods there has such a label", what, len(all.Items))
	}
	return what + ": the pods there have " + strings.Join(slices.Sorted(maps.Keys(seen)), " | ")
}

// Restore waits until as many pods are ready as before the drill.
func (a *Pods) Restore(ctx context.Context, keep topology.State, _ func(topology.Step)) (topology.Restored, error) {
	want := len(keep.Members) - len(keep.With(topology.Down))
	return settle(ctx, a.Component.Name(), a.Spec.Settle.Std(), func(ctx context.Context) (topology.Restored, error) {
		st, err := a.Discover(ctx)
		out := topology.Restored{State: st, KeptOut: map[string]string{}}
		for _, m := range st.Members {
			if m.Problem != "" {
				out.KeptOut[m.Member] = m.Problem
			}
		}
		if ready := len(st.Members) - len(out.KeptOut); err == nil && ready < want {
			err = fmt.Errorf("%d pods are ready, %d were before the drill: %s", ready, want, ailments(st))
		}
		return out, err
	})
}

func ailments(st topology.State) string {
	var words []string
	for _, m := range st.Members {
		if m.Problem != "" {
			words = append(words, m.Member+": "+m.Problem)
		}
	}
	return cmp.Or(strings.Join(words, "; "), st.Problem, "nobody says why")
}
