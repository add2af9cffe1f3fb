package injectors

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills/topology/kube"
)

// choose finds out which pods the selectors of m, which is f filled, will choose, as
// Chaos Mesh does, and refuses those that are not the drill's.
func (f *chaosFault) choose(ctx context.Context, m chaosManifest, u *chaosUndo, pods, peers []livePod) error {
	all, err := m.selectors()
	if err != nil {
		return err
	}
	_, named := f.chaosManifest.spec["selector"]
	for side, s := range all {
		mine, to, own := pods, &u.Pods, !named
		if side != "." {
			mine, to, own = peers, &u.Peers, f.peers
		}
		if own {
			*to = newChaosPods(mine)
			continue
		}
		if *to, err = chosen(ctx, pods[0].cluster, u.Namespace, s.Selector, mine); err != nil {
			return fmt.Errorf("spec%s: %w", chaosSide(side), err)
		}
	}
	return nil
}

// chosen are the pods of a selector; all must be the drill's.
func chosen(ctx context.Context, c *kube.Cluster, ns string, s v1alpha1.PodSelectorSpec, mine []livePod) ([]chaosPod, error) {
	found, err := selected(ctx, c, ns, s)
	if err != nil {
		return nil, err
	}
	var out []chaosPod
	for _, p := range found {
		i := slices.IndexFunc(mine, func(m livePod) bool { return m.UID == p.UID })
		if i < 0 {
			return nil, fmt.Errorf("selector: it selects pod %s/%s, which is not the drill's to break: leave the selector out, and choose by the fault's target", p.Namespace, p.Name)
		}
		out = append(out, newChaosPod(mine[i]))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("selector: it selects no pod at %s", c.Says)
	}
	return out, nil
}

// selected lists what a selector selects: pods by their names, and nothing else if it
// has any; otherwise those to which all of the rest applies.
func selected(ctx context.Context, c *kube.Cluster, ns string, s v1alpha1.PodSelectorSpec) (found []corev1.Pod, err error) {
	if len(s.Pods) > 0 {
		return namedPods(ctx, c, s.Pods)
	}
	byLabel, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: s.LabelSelectors, MatchExpressions: s.ExpressionSelectors})
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	nodes, err := selectedNodes(ctx, c, s)
	if err != nil {
		return nil, err
	}
	s.DefaultNamespace(ns)
	for _, ns := range s.Namespaces {
		list, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{
			LabelSelector: byLabel.String(), FieldSelector: fields.SelectorFromSet(s.FieldSelectors).String(),
		})
		if err != nil {
			return nil, c.Explain(fmt.Sprintf("list the pods that the selector selects in namespace %s", ns), err)
		}
		for _, p := range list.Items {
			if suits(p, s, nodes) {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// suits tells whether what no API server goes by applies to a pod. nodes is nil if it
// may be on any.
func suits(p corev1.Pod, s v1alpha1.PodSelectorSpec, nodes []string) bool {
	phase := func(want string) bool { return strings.EqualFold(want, string(p.Status.Phase)) }
	return (nodes == nil || slices.Contains(nodes, p.Spec.NodeName)) &&
		(len(s.PodPhaseSelectors) == 0 || slices.ContainsFunc(s.PodPhaseSelectors, phase)) &&
		labels.SelectorFromSet(s.AnnotationSelectors).Matches(labels.Set(p.Annotations))
}

// selectedNodes are those that a selector names, and those with its labels.
func selectedNodes(ctx context.Context, c *kube.Cluster, s v1alpha1.PodSelectorSpec) ([]string, error) {
	if len(s.NodeSelectors) == 0 {
		return s.Nodes, nil
	}
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(s.NodeSelectors).String()})
	if err != nil {
		return nil, c.Explain("list the nodes that the selector selects", err)
	}
	names := append([]string{}, s.Nodes...)
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names, nil
}

// namedPods are those of the names that are there, as Chaos Mesh leaves out the others.
func namedPods(ctx context.Context, c *kube.Cluster, names map[string][]string) (found []corev1.Pod, err error) {
	for ns, list := range names {
		for _, name := range list {
			p, err := c.Client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("selector: there is no pod %s/%s at %s", ns, name, c.Says)
			}
			if err != nil {
				return nil, c.Explain(fmt.Sprintf("look at pod %s/%s", ns, name), err)
			}
			found = append(found, *p)
		}
	}
	return found, nil
}
