package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/topology"
)

// protectedKey as a label or an annotation of a namespace, or as a label of a node,
// with the value "true", keeps drills away.
const protectedKey = "firedrill.dev/protected"

// admitWithin bounds all questions of one Admit.
const admitWithin = 30 * time.Second

// reserved are the namespaces that keep the cluster itself going, or its chaos tools.
var reserved = []string{
	metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, "chaos-mesh", "chaos-testing", "litmus",
}

// admission collects what speaks against a drill.
type admission struct {
	*Cluster
	problems []string
}

func (a *admission) add(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

// Admit implements topology.Platform.
func (a *Pods) Admit(ctx context.Context, needs []topology.Privilege) error {
	c, ns, err := a.Open()
	if err != nil {
		return err
	}
	what := "namespace " + ns
	return c.admit(ctx, what, needs, ns, func(ctx context.Context, to *admission) error {
		if slices.Contains(reserved, ns) || ns == c.ChaosHome(ctx) {
			to.add("it keeps the cluster or its chaos tools going, and is never drilled")
		}
		there, err := to.namespace(ctx, ns, true)
		if err != nil || !there {
			return err
		}
		return a.leftovers(ctx, to, ns)
	}, ns)
}

// Admit implements topology.Platform.
func (a *Nodes) Admit(ctx context.Context, needs []topology.Privilege) error {
	c, ns, err := a.open()
	if err != nil {
		return err
	}
	return c.admit(ctx, "the nodes", needs, "", func(ctx context.Context, to *admission) error {
		if _, err := to.namespace(ctx, ns, false); err != nil {
			return err
		}
		return a.spared(ctx, to)
	}, "")
}

// admit asks everything that there is to ask, and refuses with all the answers at
// once; only where the API server cannot be asked at all is that the one answer. own
// asks what is the component's own; chaos is the namespace that nobody else may break
// something in.
func (c *Cluster) admit(ctx context.Context, what string, needs []topology.Privilege, namespace string,
	own func(context.Context, *admission) error, chaos string,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, admitWithin, fmt.Errorf("no answer within %s", admitWithin))
	defer cancel()
	to := &admission{Cluster: c}
	if err := own(ctx, to); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	lacks, err := c.missing(ctx, needs, namespace)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if lacks != "" {
		to.problems = append(to.problems, lacks)
	}
	others, err := c.foreign(ctx, chaos)
	switch {
	case apierrors.IsForbidden(err):
		to.problems = append(to.problems, err.Error())
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case len(others) > 0:
		to.add("chaos that is not this drill's is active: %s: end and delete it first (firedrill recover, where a run of firedrill made it)",
			strings.Join(others, ", "))
	}
	if len(to.problems) == 0 {
		return nil
	}
	return fmt.Errorf("%s at %s must not be drilled: %w", what, c.Says, errors.New(strings.Join(to.problems, "; ")))
}

// namespace asks whether a namespace is there and may be drilled; of one that has just
// the lock it only matters whether it is there. What may not be asked is said with the
// privileges that are missing.
func (a *admission) namespace(ctx context.Context, name string, drilled bool) (there bool, err error) {
	ns, err := a.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case gone(err):
		a.add("there is no namespace %s", name)
		return false, nil
	case apierrors.IsForbidden(err):
		return true, nil
	case err != nil:
		return false, a.Explain("look at namespace "+name, err)
	}
	if ns.DeletionTimestamp != nil {
		a.add("namespace %s is being deleted", name)
	}
	if drilled && (ns.Labels[protectedKey] == "true" || ns.Annotations[protectedKey] == "true") {
		a.add("it is marked %s=true: somebody does not want it drilled", protectedKey)
	}
	return true, nil
}

// leftovers finds what another drill has not put back: its policies, and its marks on
// the pods and on what keeps them. What may not be read is said with the privileges.
func (a *Pods) leftovers(ctx context.Context, to *admission, ns string) error {
	policies, err := to.Client.NetworkingV1().NetworkPolicies(ns).List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) {
		return to.Explain("list the network policies in namespace "+ns, err)
	}
	var left []string
	if err == nil {
		for i := range policies.Items {
			if of := ofDrill(&policies.Items[i]); of != "" {
				left = append(left, fmt.Sprintf("NetworkPolicy %s %s", policies.Items[i].Name, of))
			}
		}
	}
	if w, err := ParseWorkload(a.Spec.Workload); err == nil {
		o, err := to.workload(ctx, ns, w)
		switch {
		case err == nil:
			left = append(left, marksOf(o, w.String())...)
		case !apierrors.IsForbidden(err) && !gone(err): // that is said with the pods
			return to.Explain(fmt.Sprintf("look at %s in namespace %s", w, ns), err)
		}
	}
	pods, err := a.List(ctx)
	switch {
	case apierrors.IsForbidden(err):
	case gone(err):
		to.add("%s", err)
	case err != nil:
		return err
	}
	for i := range pods {
		left = append(left, marksOf(&pods[i], "pod "+pods[i].Name)...)
	}
	to.left(left)
	return nil
}

func (a *admission) left(what []string) {
	if len(what) > 0 {
		a.add("another drill is not done, or left %s: wait for it, or run firedrill recover where it ran", strings.Join(what, ", "))
	}
}

// spared finds the nodes that must not be drilled, and what an earlier drill left on
// one.
func (a *Nodes) spared(ctx context.Context, to *admission) error {
	list, err := to.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: a.Spec.Selector})
	if apierrors.IsForbidden(err) {
		return nil // said with the privileges
	}
	if err != nil {
		return to.Explain("list the nodes", err)
	}
	var protected, left []string
	for _, n := range list.Items {
		if n.Labels[protectedKey] == "true" {
			protected = append(protected, n.Name)
		}
		left = append(left, marksOf(&n, "node "+n.Name)...)
		for _, t := range n.Spec.Taints {
			if strings.HasPrefix(t.Key, "firedrill.dev/") {
				left = append(left, fmt.Sprintf("taint %s on node %s", t.ToString(), n.Name))
			}
		}
	}
	slices.Sort(left)
	if len(protected) > 0 {
		to.add("marked %s=true: %s: leave them out by with.selector (%s!=true)", protectedKey, strings.Join(protected, ", "), protectedKey)
	}
	to.left(left)
	return nil
}
