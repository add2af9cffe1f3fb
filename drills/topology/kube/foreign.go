package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"firedrill/drills/topology"
)

// RunLabel marks what a drill makes or changes; its value tells which run.
const RunLabel = "firedrill.dev/run"

// The API groups of tools that break things on purpose.
const (
	chaosGroup  = "chaos-mesh.org"
	litmusGroup = "litmuschaos.io"
)

// tool is another program that breaks things on purpose.
type tool struct {
	group string
	// breaks tells whether objects of a resource stand for something that breaks.
	breaks func(resource string) bool
	// over tells whether an object has done all that it ever will.
	over func(o *unstructured.Unstructured) bool
	// hits tells whether an object of another namespace is aimed at this one.
	hits func(o *unstructured.Unstructured, namespace string) bool
}

func tools() []tool {
	return []tool{
		{chaosGroup, chaosBreaks, chaosOver, chaosHits},
		{
			litmusGroup, func(r string) bool { return r == "chaosengines" }, litmusOver,
			func(o *unstructured.Unstructured, ns string) bool {
				at, _, _ := unstructured.NestedString(o.Object, "spec", "appinfo", "appns")
				return at == ns
			},
		},
	}
}

// foreignPrivileges is what seeing other tools at work needs, in all namespaces: they
// can be aimed at a namespace from another one.
func foreignPrivileges() []topology.Privilege {
	const why = "whether somebody else breaks something just now"
	list := []string{"list"}
	return []topology.Privilege{
		{Group: chaosGroup, Resource: "*", Verbs: list, Namespace: Everywhere, For: why},
		{Group: litmusGroup, Resource: "chaosengines", Verbs: list, Namespace: Everywhere, For: why},
	}
}

// isForeign tells whether a privilege is one of those.
func isForeign(p topology.Privilege) bool {
	return slices.ContainsFunc(foreignPrivileges(), func(f topology.Privilege) bool {
		return p.Group == f.Group && p.Resource == f.Resource && slices.Equal(p.Verbs, f.Verbs)
	})
}

// foreign says which objects of tools break something just now that a drill in the
// namespace would be charged with; "" as the namespace is the whole cluster. Tools
// that are not installed have none.
func (c *Cluster) foreign(ctx context.Context, namespace string) ([]string, error) {
	find := discovery.ToDiscoveryInterfaceWithContext(c.Client.Discovery())
	groups, err := find.ServerGroupsWithContext(ctx)
	if err != nil {
		return nil, c.Explain("ask which kinds of objects there are", err)
	}
	var found []string
	for _, t := range tools() {
		i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == t.group })
		if i < 0 {
			continue
		}
		version := groups.Groups[i].PreferredVersion.GroupVersion
		list, err := find.ServerResourcesForGroupVersionWithContext(ctx, version)
		if err != nil {
			return nil, c.Explain("ask which kinds there are in "+version, err)
		}
		these, err := c.active(ctx, t, list, namespace)
		if err != nil {
			return nil, err
		}
		found = append(found, these...)
	}
	return found, nil
}

// active lists the objects of one tool that are not over.
func (c *Cluster) active(ctx context.Context, t tool, list *metav1.APIResourceList, namespace string) ([]string, error) {
	gv, err := schema.ParseGroupVersion(list.GroupVersion)
	if err != nil {
		return nil, err
	}
	kinds := slices.SortedFunc(slices.Values(list.APIResources), func(a, b metav1.APIResource) int {
		return strings.Compare(a.Name, b.Name)
	})
	found, errs := make([][]string, len(kinds)), make([]error, len(kinds))
	var group errgroup.Group
	group.SetLimit(questionsAtOnce)
	for i, r := range kinds {
		if strings.Contains(r.Name, "/") || !r.Namespaced || !t.breaks(r.Name) {
			continue
		}
		group.Go(func() error {
			objects, err := c.visible(ctx, gv.WithResource(r.Name), namespace)
			for _, o := range objects {
				if t.over(&o) || namespace != "" && o.GetNamespace() != namespace && !t.hits(&o, namespace) {
					continue
				}
				found[i] = append(found[i], describe(&o))
			}
			errs[i] = err
			return nil
		})
	}
	_ = group.Wait()
	// The first by the order of the kinds: the same trouble is said in the same words.
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(found...), nil
}

// visible lists the objects of a kind in all namespaces, or in the one that matters
// if only that may be read.
func (c *Cluster) visible(ctx context.Context, r schema.GroupVersionResource, namespace string) ([]unstructured.Unstructured, error) {
	list, err := c.Dynamic.Resource(r).List(ctx, metav1.ListOptions{})
	where := "all namespaces"
	if namespace != "" && apierrors.IsForbidden(err) {
		list, err = c.Dynamic.Resource(r).Namespace(namespace).List(ctx, metav1.ListOptions{})
		where = "namespace " + namespace
	}
	if gone(err) {
		return nil, nil // the kind was taken away meanwhile
	}
	if err != nil {
		return nil, c.Explain(fmt.Sprintf("see whether somebody else breaks something: list %s.%s in %s", r.Resource, r.Group, where), err)
	}
	return list.Items, nil
}

// describe names an object and who made it.
func describe(o *unstructured.Unstructured) string {
	s := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
	if run := o.GetLabels()[RunLabel]; run != "" {
		return s + " of firedrill's run " + run
	}
	return s
}

// chaosBreaks: Pod*Chaos are notes of the controller's own, one for a pod, and stay
// when everything is over; so do the nodes of workflows.
func chaosBreaks(resource string) bool {
	switch resource {
	case "podhttpchaos", "podiochaos", "podnetworkchaos":
		return false
	case "schedules", "workflows":
		return true
	}
	return strings.HasSuffix(resource, "chaos")
}

// chaosOver tells whether an object has recovered everything and stays only as a
// record, or was paused. What kills once never says that it is over: it counts until it
// is deleted.
func chaosOver(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "Schedule":
		return o.GetAnnotations()["experiment.chaos-mesh.org/pause"] == "true"
	case "Workflow":
		return holds(o, "Accomplished")
	}
	phase, _, _ := unstructured.NestedString(o.Object, "status", "experiment", "desiredPhase")
	return phase == "Stop" && holds(o, "AllRecovered") && o.GetDeletionTimestamp() == nil
}

// holds tells whether a condition of the object's status holds.
func holds(o *unstructured.Unstructured, name string) bool {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(list, func(v any) bool {
		m, ok := v.(map[string]any)
		return ok && m["type"] == name && m["status"] == "True"
	})
}

// chaosHits looks for the namespace in every selector of the object: schedules and
// workflows have theirs deep inside. A selector without namespaces means the object's
// own.
func chaosHits(o *unstructured.Unstructured, namespace string) bool {
	return selects(o.Object["spec"], namespace)
}

func selects(v any, namespace string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return selects(e, namespace) })
	case map[string]any:
		for key, e := range v {
			if key == "selector" && names(e, namespace) || selects(e, namespace) {
				return true
			}
		}
	}
	return false
}

// names tells whether a selector of Chaos Mesh names a namespace, or pods in it.
func names(selector any, namespace string) bool {
	s, ok := selector.(map[string]any)
	if !ok {
		return false
	}
	list, _ := s["namespaces"].([]any)
	pods, _ := s["pods"].(map[string]any)
	_, named := pods[namespace]
	return named || slices.Contains(list, any(namespace))
}

// litmusOver tells whether an engine was stopped or is done.
func litmusOver(o *unstructured.Unstructured) bool {
	wanted, _, _ := unstructured.NestedString(o.Object, "spec", "engineState")
	is, _, _ := unstructured.NestedString(o.Object, "status", "engineStatus")
	return wanted == "stop" || is == "completed" || is == "stopped"
}
