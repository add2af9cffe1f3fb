package remedies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// KubeAnnotateSpec says which annotations an object is to have: operators act upon
// them. All of them end up in records: not for secrets.
type KubeAnnotateSpec struct {
	// Object is what is annotated, the way kubectl is told: deployment/NAME,
	// postgresqls.acid.zalan.do/NAME.
	Object string `json:"object"`
	// APIVersion is the group and version of its kind (postgresql.cnpg.io/v1), where
	// object alone would not say which kind is meant.
	APIVersion string `json:"apiVersion,omitempty"`
	// Namespace is where it is, if its kind has namespaces; default: the component's.
	// Another one is not locked against other drills, and its protection not looked at.
	Namespace string `json:"namespace,omitempty"`
	// Annotations are what it is to have. Others that it has stay.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Remove are annotations that it is not to have.
	Remove []string `json:"remove,omitempty"`
}

type kubeAnnotate struct {
	spec       KubeAnnotateSpec
	kind, name string
}

func newKubeAnnotate(s KubeAnnotateSpec) (drills.Remedy, error) {
	kind, name, ok := strings.Cut(s.Object, "/")
	if !ok || kind == "" || name == "" {
		return nil, fmt.Errorf("with.object: %q: want KIND/NAME", s.Object)
	}
	if _, err := schema.ParseGroupVersion(s.APIVersion); err != nil {
		return nil, fmt.Errorf("with.apiVersion: %w", err)
	}
	if len(s.Annotations)+len(s.Remove) == 0 {
		return nil, errors.New("with.annotations: name one")
	}
	for _, key := range append(slices.Sorted(maps.Keys(s.Annotations)), s.Remove...) {
		if bad := validation.IsQualifiedName(strings.ToLower(key)); len(bad) > 0 {
			return nil, fmt.Errorf("with.annotations: %q: %s", key, strings.Join(bad, "; "))
		}
	}
	for _, key := range s.Remove {
		if _, both := s.Annotations[key]; both {
			return nil, fmt.Errorf("with.remove: %s is in with.annotations", key)
		}
	}
	return kubeAnnotate{spec: s, kind: kind, name: name}, nil
}

// annotating is what Revert needs: nil is for an annotation that is not there.
type annotating struct {
	Object kubeObject         `json:"object"`
	Was    map[string]*string `json:"was"`
}

// wanted are the annotations as they are to be; nil is for one that is not to be there.
func (r kubeAnnotate) wanted() map[string]*string {
	want := map[string]*string{}
	for key, value := range r.spec.Annotations {
		want[key] = &value
	}
	for _, key := range r.spec.Remove {
		want[key] = nil
	}
	return want
}

// Privileges implements drills.Privileged. It asks nobody: for a kind that is not
// Kubernetes' own, the resource is the one that with.object names, or what such a kind
// is commonly called.
func (r kubeAnnotate) Privileges(c *topology.Component) []topology.Privilege {
	_, namespace, err := kubeHome(c)
	if err != nil {
		return nil // Apply says so
	}
	p := topology.Privilege{Verbs: []string{"get", "patch"}, Namespace: cmp.Or(r.spec.Namespace, namespace), For: "kube-annotate"}
	gr := r.resource()
	p.Group, p.Resource = gr.Group, gr.Resource
	if own, ok := builtIn(gr); ok {
		p.Group, p.Resource = own.Group, own.Resource
	} else if !strings.HasSuffix(p.Resource, "s") {
		guess, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: p.Resource})
		p.Resource = guess.Resource
	}
	if slices.Contains(withoutNamespace, p.Resource) {
		p.Namespace = ""
	}
	return []topology.Privilege{p}
}

// withoutNamespace are resources of Kubernetes' own that are in no namespace.
var withoutNamespace = []string{
	"nodes", "namespaces", "persistentvolumes", "clusterroles", "clusterrolebindings", "storageclasses", "ingressclasses",
	"priorityclasses", "runtimeclasses", "csidrivers", "csinodes", "volumeattachments",
}

// builtIn finds a resource among Kubernetes' own, by its plural or the name of its kind.
func builtIn(gr schema.GroupResource) (found schema.GroupResource, ok bool) {
	for gvk := range scheme.Scheme.AllKnownTypes() {
		plural, singular := meta.UnsafeGuessKindToResource(gvk)
		fits := (gr.Group == "" || gr.Group == gvk.Group) && (gr.Resource == plural.Resource || gr.Resource == singular.Resource)
		if !fits || gvk.Group == "extensions" { // where things were long ago
			continue
		}
		if !ok || gvk.Group < found.Group {
			found, ok = plural.GroupResource(), true
		}
	}
	return found, ok
}

// resource is what with.object names, as far as it does.
func (r kubeAnnotate) resource() schema.GroupResource {
	gr := schema.ParseGroupResource(strings.ToLower(r.kind))
	if gv, err := schema.ParseGroupVersion(r.spec.APIVersion); err == nil && gr.Group == "" {
		gr.Group = gv.Group
	}
	return gr
}

// Apply annotates the object. It does not wait for what an operator makes of it: the
// drill's probes do.
func (r kubeAnnotate) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	o, err := patiently(ctx, func(context.Context) (kubeObject, error) { return r.find(t.Component) })
	if err != nil {
		return err
	}
	now, err := patiently(ctx, o.get)
	if err != nil {
		return err
	}
	o.UID = now.GetUID()
	a, want := annotating{Object: o, Was: map[string]*string{}}, r.wanted()
	for key := range want {
		a.Was[key] = nil
		if value, found := now.GetAnnotations()[key]; found {
			a.Was[key] = &value
		}
	}
	step := topology.Step{Name: "annotate " + o.Kind + "/" + o.Name}
	if len(differ(now, want)) == 0 {
		step.Detail = "done already"
		log.Step(step)
		return nil
	}
	undo, err := undoWith("give "+o.String()+" the annotations back that it had", a)
	if err != nil {
		return err
	}
	return deed(log, step, undo, func() (string, error) {
		return strings.Join(slices.Sorted(maps.Keys(want)), ", "), annotate(ctx, o, want)
	})
}

// find asks the API server what the kind is.
func (r kubeAnnotate) find(c *topology.Component) (o kubeObject, err error) {
	at, namespace, err := kubeHome(c)
	if err != nil {
		return o, err
	}
	k, err := at.Open()
	if err != nil {
		return o, err
	}
	o = kubeObject{Access: at, Name: r.name}
	namespaced, err := r.resolve(k.Client.Discovery(), &o)
	if err != nil {
		return o, k.Explain(strings.TrimSpace("find the kind of "+r.spec.Object+" "+r.spec.APIVersion), err)
	}
	if namespaced {
		o.Namespace = cmp.Or(r.spec.Namespace, namespace)
	}
	return o, nil
}

// resolve fills in what the kind is. One request is enough where the version is known:
// this is a remedy, and clients wait.
func (r kubeAnnotate) resolve(api discovery.DiscoveryInterface, o *kubeObject) (namespaced bool, err error) {
	gr := r.resource()
	gv, err := schema.ParseGroupVersion(r.spec.APIVersion)
	if err != nil {
		return false, err
	}
	if own, ok := builtIn(gr); ok && gv.Empty() {
		gv = scheme.Scheme.PrioritizedVersionsForGroup(own.Group)[0]
	}
	if gv.Empty() {
		return r.search(api, gr, o)
	}
	list, err := api.ServerResourcesForGroupVersion(gv.String())
	if err != nil {
		return false, err
	}
	for _, known := range list.APIResources {
		if gr.Resource == known.Name || gr.Resource == known.SingularName || gr.Resource == strings.ToLower(known.Kind) {
			o.Group, o.Version, o.Resource, o.Kind = gv.Group, gv.Version, known.Name, strings.ToLower(known.Kind)
			return known.Namespaced, nil
		}
	}
	return false, fmt.Errorf("there is no such kind in %s", gv)
}

// search looks through all kinds that there are.
func (r kubeAnnotate) search(api discovery.DiscoveryInterface, gr schema.GroupResource, o *kubeObject) (namespaced bool, err error) {
	all, err := restmapper.GetAPIGroupResources(api)
	if err != nil && len(all) == 0 {
		return false, err
	}
	mapper := restmapper.NewDiscoveryRESTMapper(all)
	gvk, err := mapper.KindFor(gr.WithVersion(""))
	if err != nil {
		return false, err
	}
	m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return false, err
	}
	o.Group, o.Version, o.Resource, o.Kind = m.Resource.Group, m.Resource.Version, m.Resource.Resource, strings.ToLower(gvk.Kind)
	return m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// differ are the annotations that are not as they are to be, with what they are to be.
func differ(now *unstructured.Unstructured, want map[string]*string) map[string]any {
	set := map[string]any{}
	for key, value := range want {
		switch is, found := now.GetAnnotations()[key]; {
		case value == nil && found:
			set[key] = nil
		case value != nil && (!found || is != *value):
			set[key] = *value
		}
	}
	return set
}

func annotate(ctx context.Context, o kubeObject, want map[string]*string) error {
	return o.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		set := differ(now, want)
		if len(set) == 0 {
			return nil, nil
		}
		return annotations(set), nil
	})
}

// Revert implements drills.Reverter. What an operator made of the annotations
// meanwhile gives way to what they were.
func (kubeAnnotate) Revert(ctx context.Context, u drills.Undo) error {
	var a annotating
	if err := readUndo(u, &a); err != nil {
		return err
	}
	return annotate(ctx, a.Object, a.Was)
}
