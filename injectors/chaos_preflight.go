package injectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"firedrill/drills/topology/kube"
)

// installed asks whether the API server knows the kind, and by which name.
func (u *chaosUndo) installed(ctx context.Context) error {
	c, err := u.Access.Open()
	if err != nil {
		return err
	}
	version := v1alpha1.SchemeGroupVersion.String()
	list, err := discovery.ToDiscoveryInterfaceWithContext(c.Client.Discovery()).ServerResourcesForGroupVersionWithContext(ctx, version)
	if err != nil && !apierrors.IsNotFound(err) {
		return c.Explain("ask which kinds there are in "+version, err)
	}
	if list != nil {
		for _, r := range list.APIResources {
			if r.Kind == u.Kind && !strings.Contains(r.Name, "/") {
				u.Resource = r.Name
				return nil
			}
		}
	}
	crd := strings.ToLower(u.Kind) + "." + v1alpha1.SchemeGroupVersion.Group
	if list == nil || len(list.APIResources) == 0 {
		return fmt.Errorf("the kind %s: Chaos Mesh is not installed, there is no CRD %s at %s: install it, or use a fault that needs none", u.Kind, crd, c.Says)
	}
	return fmt.Errorf("the kind %s: the Chaos Mesh that is installed lacks its CRD %s at %s: install it (all CRDs are in Chaos Mesh's crd.yaml), or a newer Chaos Mesh if that has none", u.Kind, crd, c.Says)
}

// The names that Chaos Mesh's own manifests give it.
const (
	chaosDefaultNamespace = "chaos-mesh"
	chaosDaemon           = "chaos-daemon"
)

// chaosHome is the namespace that Chaos Mesh is in. Who may not see its webhooks has to
// say it, if it is not the usual one.
func chaosHome(ctx context.Context, c *kube.Cluster, said string) string {
	if said != "" {
		return said
	}
	return cmp.Or(c.ChaosHome(ctx), chaosDefaultNamespace)
}

// daemons refuses pods on nodes where no daemon of Chaos Mesh is ready: their faults
// would wait for one.
func (o *chaosObject) daemons(ctx context.Context, said string) error {
	home := chaosHome(ctx, o.cluster, said)
	list, err := o.cluster.Client.DiscoveryV1().EndpointSlices(home).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + chaosDaemon,
	})
	if err != nil {
		return o.cluster.Explain(fmt.Sprintf("list the endpoints of Service %s in namespace %s", chaosDaemon, home), err)
	}
	ready := map[string]bool{}
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			if e.NodeName != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				ready[*e.NodeName] = true
			}
		}
	}
	for _, p := range o.affected() {
		if p.Node != "" && !ready[p.Node] {
			return fmt.Errorf("%s is on node %s, where no %s of Chaos Mesh is ready (Service %s/%s at %s has nodes %v): "+
				"see to the daemon, or name Chaos Mesh's namespace in chaosNamespace",
				p, p.Node, chaosDaemon, home, chaosDaemon, o.cluster.Says, slices.Sorted(maps.Keys(ready)))
		}
	}
	return nil
}

// alone refuses pods that another object of the kind acts on: which of the two does
// what could not be told, nor which was undone.
func (o *chaosObject) alone(ctx context.Context) error {
	list, err := o.api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return o.cluster.Explain(fmt.Sprintf("list the %s in namespace %s", o.Resource, o.Namespace), err)
	}
	keys := chaosPodKeys(o.affected())
	for i := range list.Items {
		s, err := chaosStatus(&list.Items[i])
		if err != nil {
			return fmt.Errorf("read the status of %s %s/%s: %w", o.Kind, o.Namespace, list.Items[i].GetName(), err)
		}
		for _, r := range s.Records {
			if r.Phase != v1alpha1.NotInjected && slices.Contains(keys, chaosKey(r.Id)) {
				return fmt.Errorf("%s %s/%s acts on pod %s already: somebody else's drill, or one to recover (firedrill recover)",
					o.Kind, o.Namespace, list.Items[i].GetName(), chaosKey(r.Id))
			}
		}
	}
	return nil
}

// rehearse has the API server and Chaos Mesh's webhooks do all but make the object, and
// compares what would be kept with what was asked for.
func (o *chaosObject) rehearse(ctx context.Context) error {
	got, err := o.api.Create(ctx, o.object(), metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationIgnore,
	})
	if err != nil {
		return o.refused("rehearse", err)
	}
	if missing := pruned("spec", o.Spec, got.Object["spec"]); len(missing) > 0 {
		return fmt.Errorf("%s: the Chaos Mesh that is installed at %s does not know %s, and would leave it out without a word: upgrade its CRDs, or do without",
			o.Kind, o.cluster.Says, strings.Join(missing, ", "))
	}
	return nil
}

// pruned lists the paths of what was sent and is not kept.
func pruned(path string, sent, kept any) (missing []string) {
	switch sent := sent.(type) {
	case map[string]any:
		kept, ok := kept.(map[string]any)
		if !ok {
			return []string{path}
		}
		for _, k := range slices.Sorted(maps.Keys(sent)) {
			v, ok := kept[k]
			if !ok {
				missing = append(missing, path+"."+k)
				continue
			}
			missing = append(missing, pruned(path+"."+k, sent[k], v)...)
		}
	case []any:
		kept, ok := kept.([]any)
		if !ok || len(kept) < len(sent) {
			return []string{path}
		}
		for i := range sent {
			missing = append(missing, pruned(fmt.Sprintf("%s[%d]", path, i), sent[i], kept[i])...)
		}
	}
	return missing
}

// refused says why an object was not made, and what to do.
func (o *chaosObject) refused(attempt string, err error) error {
	attempt += " " + o.String()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return o.cluster.Explain(attempt, err)
	}
	said := status.Status().Message
	switch d := status.Status().Details; {
	case strings.Contains(said, "failed calling webhook"):
		return fmt.Errorf("%s: Chaos Mesh's webhook at %s does not answer: is its controller up? %w", attempt, o.cluster.Says, err)
	case strings.Contains(said, "denied the request"), apierrors.IsInvalid(err):
		return fmt.Errorf("%s: Chaos Mesh at %s refuses the spec: %w", attempt, o.cluster.Says, err)
	case apierrors.IsNotFound(err) && d != nil && d.Kind == "namespaces":
		return fmt.Errorf("%s: there is no namespace %s at %s: %w", attempt, cmp.Or(d.Name, o.Namespace), o.cluster.Says, err)
	}
	return o.cluster.Explain(attempt, err)
}
