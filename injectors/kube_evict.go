package injectors

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"firedrill/drills/topology/kube"
)

// tryEvictions refuses what disruption budgets forbid, and has the API server try each
// eviction without doing it. With patience, only what they never allow is refused.
func tryEvictions(ctx context.Context, pods []livePod, patient bool) error {
	byNamespace := map[string][]livePod{}
	for _, p := range pods {
		byNamespace[p.Place.Namespace] = append(byNamespace[p.Place.Namespace], p)
	}
	for ns, some := range byNamespace {
		list, err := some[0].cluster.Client.PolicyV1().PodDisruptionBudgets(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return some[0].cluster.Explain("list the disruption budgets in namespace "+ns, err)
		}
		for i := range list.Items {
			if err := forbids(&list.Items[i], some, patient); err != nil {
				return err
			}
		}
	}
	return atOnce(pods, func(p livePod) error {
		err := p.evict(ctx, metav1.DryRunAll)
		if apierrors.IsTooManyRequests(err) && patient {
			return nil
		}
		return err
	})
}

// forbids says why a budget forbids to evict the pods, nil if it does not.
func forbids(b *policyv1.PodDisruptionBudget, pods []livePod, patient bool) error {
	n := 0
	for _, p := range pods {
		if covers(b, p.pod) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	says := fmt.Sprintf("PodDisruptionBudget %s/%s (%s) forbids it: %d of its %d pods are healthy, %d must stay so", b.Namespace, b.Name,
		limitOf(b), b.Status.CurrentHealthy, b.Status.ExpectedPods, b.Status.DesiredHealthy)
	switch {
	case b.Status.ExpectedPods > 0 && b.Status.DesiredHealthy >= b.Status.ExpectedPods:
		return fmt.Errorf("%s: it never allows an eviction", says)
	case !patient && int(b.Status.DisruptionsAllowed) < n:
		return fmt.Errorf("%s, so %d may be evicted now, and %d are to be: name fewer pods, or give it time (with.patience)", says, b.Status.DisruptionsAllowed, n)
	}
	return nil
}

// covers tells whether a budget is about a pod.
func covers(b *policyv1.PodDisruptionBudget, p *corev1.Pod) bool {
	s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && s.Matches(labels.Set(p.Labels))
}

// limitOf is what a budget asks for.
func limitOf(b *policyv1.PodDisruptionBudget) string {
	text := func(n *intstr.IntOrString) string { return n.String() }
	if b.Spec.MaxUnavailable != nil {
		return "maxUnavailable " + text(b.Spec.MaxUnavailable)
	}
	if b.Spec.MinAvailable != nil {
		return "minAvailable " + text(b.Spec.MinAvailable)
	}
	return "no limit"
}

// evict asks the API server to evict the pod, and not another one of its name.
func (r podRef) evict(ctx context.Context, dry ...string) error {
	c, err := r.Place.Open()
	if err != nil {
		return err
	}
	err = c.Client.CoreV1().Pods(r.Place.Namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: r.Place.Pod, Namespace: r.Place.Namespace},
		DeleteOptions: &metav1.DeleteOptions{
			DryRun: dry, Preconditions: &metav1.Preconditions{UID: &r.UID},
		},
	})
	switch {
	case apierrors.IsTooManyRequests(err):
		return r.refusedEviction(ctx, c, err)
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return fmt.Errorf("%s was gone before it could be evicted: somebody else has removed it: %w", r, err)
	}
	return c.Explain("evict "+r.String(), err)
}

// refusedEviction names the budgets that an eviction was refused for.
func (r podRef) refusedEviction(ctx context.Context, c *kube.Cluster, refused error) error {
	n, err := r.now(ctx)
	if err != nil || !n.same {
		return c.Explain("evict "+r.String(), refused)
	}
	list, err := c.Client.PolicyV1().PodDisruptionBudgets(r.Place.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return c.Explain("evict "+r.String(), refused)
	}
	for i := range list.Items {
		if err := forbids(&list.Items[i], []livePod{{podRef: r, cluster: c, pod: n.pod}}, false); err != nil {
			return fmt.Errorf("evict %s: %w: %w", r, err, refused)
		}
	}
	return c.Explain("evict "+r.String(), refused)
}

// evictEvery is how often an eviction that a budget forbids is tried again.
const evictEvery = 200 * time.Millisecond

// evictAll evicts pods, those that budgets forbid again and again for so long.
func evictAll(ctx context.Context, pods []podRef, patience time.Duration) error {
	end := time.Now().Add(patience)
	tick := time.NewTicker(evictEvery)
	defer tick.Stop()
	return atOnce(pods, func(r podRef) error {
		for {
			err := r.evict(ctx)
			if !apierrors.IsTooManyRequests(err) {
				return err
			}
			if time.Now().After(end) {
				return fmt.Errorf("%w (tried for %s, with.patience)", err, patience)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
			}
		}
	})
}
