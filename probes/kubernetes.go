package probes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// KubernetesSpec is what must hold for a component of pods.
type KubernetesSpec struct {
	// MinReady is how many pods must be ready; default: as many as the component's
	// topology or its workload wants when the drill begins.
	MinReady int `json:"minReady,omitempty" jsonschema:"minimum=0"`
	// MinDisruptions is how many pods every PodDisruptionBudget of the pods must allow
	// to be evicted; default: budgets are not looked at.
	MinDisruptions int `json:"minDisruptions,omitempty" jsonschema:"minimum=0"`
	// MinEndpoints is how many endpoints of the component's Service must be ready;
	// default: endpoints are not looked at.
	MinEndpoints int `json:"minEndpoints,omitempty" jsonschema:"minimum=0"`
}

// kubernetes asks the API server how the pods of a component are.
type kubernetes struct{ spec KubernetesSpec }

func newKubernetes(s KubernetesSpec) (drills.ProbeKind, error) { return &kubernetes{s}, nil }

// Clients returns fresh: each look is one of its own, and the connection to the API
// server says nothing about the service.
func (*kubernetes) Clients() []drills.Client { return []drills.Client{drills.Fresh} }

// Overview implements drills.Overview.
func (*kubernetes) Overview() {}

// Privileges implements drills.Privileged.
func (k *kubernetes) Privileges(c *topology.Component) []topology.Privilege {
	if c == nil {
		return nil
	}
	ns, err := kube.NamespaceOf(c)
	if err != nil {
		return nil // said when the component is opened
	}
	look := func(group, resource string) topology.Privilege {
		return topology.Privilege{Group: group, Resource: resource, Verbs: []string{"list"}, Namespace: ns, For: "probe kubernetes"}
	}
	out := []topology.Privilege{look("", "pods")}
	if k.spec.MinDisruptions > 0 {
		out = append(out, look("policy", "poddisruptionbudgets"))
	}
	if k.spec.MinEndpoints > 0 {
		out = append(out, look("discovery.k8s.io", "endpointslices"))
	}
	return out
}

// Open asks what is wanted, so that a fault that changes what is wanted does not
// change what must hold.
func (k *kubernetes) Open(ctx context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open kubernetes probe: %w", err)
	}
	if s.Component == nil {
		return nil, errors.New("open kubernetes probe: it looks at a component: give it a target")
	}
	pods, ok := s.Component.Adapter.(*kube.Pods)
	if !ok {
		return nil, fmt.Errorf("open kubernetes probe: component %s is of kind %s: want %s", s.Component.Name(), s.Component.Spec.Kind, kube.PodsKind)
	}
	p := &kubernetesProbe{spec: k.spec, pods: pods}
	var err error
	if p.cluster, p.namespace, err = pods.Open(); err != nil {
		return nil, fmt.Errorf("open kubernetes probe: %w", err)
	}
	if err := p.open(ctx); err != nil {
		return nil, fmt.Errorf("open kubernetes probe of %s: %w", s.Component.Name(), err)
	}
	return p, nil
}

type kubernetesProbe struct {
	spec      KubernetesSpec
	pods      *kube.Pods
	cluster   *kube.Cluster
	namespace string
	selector  string
	// budgets are the names of those that speak for the pods.
	budgets []string
}

func (p *kubernetesProbe) open(ctx context.Context) error {
	var wanted int
	var err error
	if p.selector, wanted, err = p.pods.Wanted(ctx); err != nil {
		return err
	}
	p.spec.MinReady = cmp.Or(p.spec.MinReady, wanted)
	if p.spec.MinEndpoints > 0 && p.pods.Spec.Service == "" {
		return errors.New("minEndpoints: the component has no service in the topology: name it there")
	}
	if p.spec.MinReady == 0 && p.spec.MinDisruptions == 0 && p.spec.MinEndpoints == 0 {
		return errors.New("nobody says how many pods are wanted: give minReady, or replicas or a workload in the topology")
	}
	if p.spec.MinDisruptions == 0 {
		return nil
	}
	pods, err := p.list(ctx)
	if err != nil {
		return err
	}
	all, err := p.api().Client.PolicyV1().PodDisruptionBudgets(p.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return p.api().Explain("list the PodDisruptionBudgets in namespace "+p.namespace, err)
	}
	for _, b := range all.Items {
		chosen, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && slices.ContainsFunc(pods, func(o corev1.Pod) bool { return chosen.Matches(labels.Set(o.Labels)) }) {
			p.budgets = append(p.budgets, b.Name)
		}
	}
	if len(p.budgets) == 0 {
		return fmt.Errorf("minDisruptions: no PodDisruptionBudget in namespace %s speaks for the pods %s", p.namespace, p.selector)
	}
	return nil
}

// api is the API server with the credentials as they are now: they may be renewed
// in the drill.
func (p *kubernetesProbe) api() *kube.Cluster {
	if c, _, err := p.pods.Open(); err == nil {
		return c
	}
	return p.cluster
}

// cached asks for what the API server has at hand: it is what its watches tell, and
// costs etcd nothing.
const cached = "0"

func (p *kubernetesProbe) list(ctx context.Context) ([]corev1.Pod, error) {
	all, err := p.api().Client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: p.selector, ResourceVersion: cached})
	if err != nil {
		return nil, p.api().Explain(fmt.Sprintf("list the pods %s in namespace %s", p.selector, p.namespace), err)
	}
	return all.Items, nil
}

// Observe asks once.
func (p *kubernetesProbe) Observe(ctx context.Context) drills.Observation {
	for _, look := range []func(context.Context) (string, error){p.ready, p.endpoints, p.allowed} {
		lack, err := look(ctx)
		if err != nil {
			return unanswered(ctx, err)
		}
		if lack != "" {
			return drills.Observation{Class: timeline.Error, Detail: firstLine(lack)}
		}
	}
	return drills.Observation{Class: timeline.OK}
}

// unanswered is a look that the API server did not answer, or refused.
func unanswered(ctx context.Context, err error) drills.Observation {
	if ctx.Err() == nil {
		switch {
		case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
			return drills.Observation{Class: timeline.Auth, Detail: firstLine(err.Error())}
		case strings.Contains(err.Error(), "client rate limiter"):
			// It was never asked: the runner's own doing.
			return drills.Observation{Class: timeline.NoData, Detail: firstLine(err.Error())}
		}
	}
	return failed(ctx, err, timeline.Error)
}

// ready says what is lacking of the pods, "" if nothing is.
func (p *kubernetesProbe) ready(ctx context.Context) (string, error) {
	if p.spec.MinReady == 0 {
		return "", nil
	}
	pods, err := p.list(ctx)
	if err != nil {
		return "", err
	}
	slices.SortFunc(pods, func(x, y corev1.Pod) int { return strings.Compare(x.Name, y.Name) })
	n := 0
	var ill []string
	for i := range pods {
		switch o := &pods[i]; {
		case kube.Ready(o):
			n++
		case o.Status.Phase != corev1.PodSucceeded:
			ill = append(ill, o.Name+": "+kube.Ailment(o))
		}
	}
	if n >= p.spec.MinReady {
		return "", nil
	}
	return fmt.Sprintf("%d of %d pods ready: %s", n, p.spec.MinReady, cmp.Or(strings.Join(ill, "; "), "there are no others")), nil
}

// endpoints says how many endpoints of the Service are lacking, "" if none is.
func (p *kubernetesProbe) endpoints(ctx context.Context) (string, error) {
	if p.spec.MinEndpoints == 0 {
		return "", nil
	}
	service := p.pods.Spec.Service
	all, err := p.api().Client.DiscoveryV1().EndpointSlices(p.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service, ResourceVersion: cached,
	})
	if err != nil {
		return "", p.api().Explain(fmt.Sprintf("list the endpoints of service %s in namespace %s", service, p.namespace), err)
	}
	ready := map[string]bool{} // a pod can be in several slices
	for _, s := range all.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			name := strings.Join(e.Addresses, " ")
			if e.TargetRef != nil {
				name = e.TargetRef.Name
			}
			ready[name] = true
		}
	}
	if len(ready) >= p.spec.MinEndpoints {
		return "", nil
	}
	return fmt.Sprintf("%d of %d endpoints of service %s ready", len(ready), p.spec.MinEndpoints, service), nil
}

// allowed says which budget allows too little, "" if none does.
func (p *kubernetesProbe) allowed(ctx context.Context) (string, error) {
	if p.spec.MinDisruptions == 0 {
		return "", nil
	}
	all, err := p.api().Client.PolicyV1().PodDisruptionBudgets(p.namespace).List(ctx, metav1.ListOptions{ResourceVersion: cached})
	if err != nil {
		return "", p.api().Explain("list the PodDisruptionBudgets in namespace "+p.namespace, err)
	}
	seen := 0
	for _, b := range all.Items {
		if !slices.Contains(p.budgets, b.Name) {
			continue
		}
		seen++
		if b.Status.DisruptionsAllowed < int32(p.spec.MinDisruptions) {
			return fmt.Sprintf("budget %s allows %d disruptions, want %d: %d of %d pods healthy, %d needed",
				b.Name, b.Status.DisruptionsAllowed, p.spec.MinDisruptions, b.Status.CurrentHealthy, b.Status.ExpectedPods, b.Status.DesiredHealthy), nil
		}
	}
	if seen < len(p.budgets) {
		return fmt.Sprintf("of the budgets %s, %d are there", strings.Join(p.budgets, ", "), seen), nil
	}
	return "", nil
}
