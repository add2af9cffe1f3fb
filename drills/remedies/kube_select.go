package remedies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// ServiceSelectSpec says which pods a Service is to lead to.
type ServiceSelectSpec struct {
	// Service is the Service, in the component's namespace; default: the component's
	// own.
	Service string `json:"service,omitempty"`
	// Selector are the labels that its selector is to have. Others that it has stay.
	Selector map[string]string `json:"selector,omitempty"`
	// Remove are labels that its selector is not to have.
	Remove []string `json:"remove,omitempty"`
	// Timeout is how long it may take until the Service leads to those pods.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

type serviceSelect struct{ spec ServiceSelectSpec }

func newServiceSelect(s ServiceSelectSpec) (drills.Remedy, error) {
	if len(s.Selector)+len(s.Remove) == 0 {
		return nil, errors.New("with.selector: name a label that the pods are to have")
	}
	for _, name := range s.Remove {
		if _, both := s.Selector[name]; both {
			return nil, fmt.Errorf("with.remove: %s is in with.selector", name)
		}
	}
	if _, err := labels.ValidatedSelectorFromSet(s.Selector); err != nil {
		return nil, fmt.Errorf("with.selector: %w", err)
	}
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return serviceSelect{s}, nil
}

// selecting is what one remedy does to a Service, and what Revert needs.
type selecting struct {
	Object kubeObject        `json:"object"`
	Was    map[string]string `json:"was"`
	Now    map[string]string `json:"now"`
}

// Privileges implements drills.Privileged.
func (r serviceSelect) Privileges(c *topology.Component) []topology.Privilege {
	o, err := serviceOf(c, r.spec.Service)
	if err != nil {
		return nil // Apply says so
	}
	const who = "service-select"
	return []topology.Privilege{
		o.privilege(who),
		{Resource: "pods", Verbs: []string{"list"}, Namespace: o.Namespace, For: who},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"list"}, Namespace: o.Namespace, For: who},
	}
}

// Apply leads the Service to other pods, and waits until it does. If none of those is
// ready, nothing is changed.
func (r serviceSelect) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	o, err := serviceOf(t.Component, r.spec.Service)
	if err != nil {
		return err
	}
	now, err := patiently(ctx, o.get)
	if err != nil {
		return err
	}
	s, err := r.plan(o, now)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", o, o.says(), err)
	}
	step := topology.Step{Name: "select pods of service/" + o.Name}
	if maps.Equal(s.Was, s.Now) {
		step.Detail = "selects " + words(s.Now) + " already"
		log.Step(step)
	} else if err := s.apply(ctx, step, log); err != nil {
		return err
	}
	return deed(log, topology.Step{Name: "wait for endpoints"}, nil, func() (detail string, err error) {
		err = o.until(ctx, r.spec.Timeout.Std(), func(ctx context.Context) error {
			detail, err = s.leads(ctx)
			return err
		})
		return detail, err
	})
}

func (r serviceSelect) plan(o kubeObject, now *unstructured.Unstructured) (s selecting, err error) {
	o.UID = now.GetUID()
	s.Object = o
	if err := field(now, &s.Was, "spec", "selector"); err != nil {
		return s, err
	}
	if len(s.Was) == 0 {
		return s, errors.New("it has no selector: its endpoints are set by others, or by the remedy endpoints-set")
	}
	s.Now = maps.Clone(s.Was)
	maps.Copy(s.Now, r.spec.Selector)
	for _, name := range r.spec.Remove {
		delete(s.Now, name)
	}
	if len(s.Now) == 0 {
		return s, errors.New("it would have no selector left, and lead nowhere")
	}
	return s, nil
}

func (s selecting) apply(ctx context.Context, step topology.Step, log drills.RemedyLog) error {
	pods, err := patiently(ctx, s.pods)
	if err != nil {
		return err
	}
	if !slices.Contains(slices.Collect(maps.Values(pods)), true) {
		return fmt.Errorf("%s: %s: not changed: no pod with %s is ready, so that nobody would be served", s.Object, s.Object.says(), words(s.Now))
	}
	undo, err := undoWith(fmt.Sprintf("have %s select %s again", s.Object, words(s.Was)), s)
	if err != nil {
		return err
	}
	return deed(log, step, undo, func() (string, error) {
		return "selected " + words(s.Was) + " before, " + words(s.Now) + " now", s.turn(ctx, s.Was, s.Now)
	})
}

// turn changes the selector. One that somebody else has changed meanwhile stays.
func (s selecting) turn(ctx context.Context, from, to map[string]string) error {
	return s.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		is := map[string]string{}
		if err := field(now, &is, "spec", "selector"); err != nil || maps.Equal(is, to) {
			return nil, err
		}
		if !maps.Equal(is, from) {
			return nil, fmt.Errorf("somebody else has it select %s meanwhile, which stays; wanted was %s in place of %s", words(is), words(to), words(from))
		}
		set := map[string]any{}
		for name := range from {
			set[name] = nil
		}
		for name, value := range to {
			if was, had := from[name]; had && was == value {
				delete(set, name)
			} else {
				set[name] = value
			}
		}
		return map[string]any{"spec": map[string]any{"selector": set}}, nil
	})
}

// pods are the names of those that the Service is to lead to, and whether they are
// ready.
func (s selecting) pods(ctx context.Context) (map[string]bool, error) {
	c, err := s.Object.Open()
	if err != nil {
		return nil, err
	}
	list, err := c.Client.CoreV1().Pods(s.Object.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(s.Now)})
	if err != nil {
		return nil, c.Explain(fmt.Sprintf("list the pods with %s in namespace %s", words(s.Now), s.Object.Namespace), err)
	}
	pods := map[string]bool{}
	for i := range list.Items {
		pods[list.Items[i].Name] = kube.Ready(&list.Items[i])
	}
	return pods, nil
}

// leads tells whether the Service's endpoints are pods with the labels, at least one of
// them ready, and no others.
func (s selecting) leads(ctx context.Context) (string, error) {
	want, err := s.pods(ctx)
	if err != nil {
		return "", err
	}
	all, err := slicesOf(ctx, s.Object)
	if err != nil {
		return "", err
	}
	to := map[string]bool{}
	for _, slice := range all {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
				return "", poll.Stop(fmt.Errorf("EndpointSlice %s leads to %v, which is no pod", slice.Name, e.Addresses))
			}
			ready, wanted := want[e.TargetRef.Name]
			if !wanted {
				return "", fmt.Errorf("EndpointSlice %s still leads to pod %s", slice.Name, e.TargetRef.Name)
			}
			if ready {
				to[e.TargetRef.Name] = true
			}
		}
	}
	if len(to) == 0 {
		return "", errors.New("no endpoint is ready")
	}
	return fmt.Sprintf("leads to %d ready pods", len(to)), nil
}

// Revert implements drills.Reverter.
func (serviceSelect) Revert(ctx context.Context, u drills.Undo) error {
	var s selecting
	if err := readUndo(u, &s); err != nil {
		return err
	}
	return s.turn(ctx, s.Now, s.Was)
}

// words is a selector for people.
func words(selector map[string]string) string {
	return strings.ReplaceAll(labels.FormatLabels(selector), ",", ", ")
}
