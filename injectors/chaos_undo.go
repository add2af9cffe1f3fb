package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"firedrill/drills/spec"
	"firedrill/drills/topology/kube"
)

// chaosPod is a pod that a fault acts on, as it was before.
type chaosPod struct {
	podRef
	// Node is where it runs.
	Node string `json:"node,omitempty"`
	// Images are those of its containers, and Running the ids under which its kubelet
	// runs them, both by the containers' names.
	Images  map[string]string `json:"images,omitempty"`
	Running map[string]string `json:"running,omitempty"`
}

func newChaosPod(p livePod) chaosPod {
	c := chaosPod{podRef: p.podRef, Node: p.pod.Spec.NodeName, Images: images(p.pod), Running: map[string]string{}}
	for _, s := range p.pod.Status.ContainerStatuses {
		c.Running[s.Name] = s.ContainerID
	}
	return c
}

func newChaosPods(pods []livePod) []chaosPod {
	out := make([]chaosPod, len(pods))
	for i, p := range pods {
		out[i] = newChaosPod(p)
	}
	return out
}

// images are those of a pod's containers.
func images(p *corev1.Pod) map[string]string {
	all := map[string]string{}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		all[c.Name] = c.Image
	}
	return all
}

// key is how Chaos Mesh names a pod in its records.
func (r podRef) key() string { return r.Place.Namespace + "/" + r.Place.Pod }

func chaosPodKeys(pods []chaosPod) []string {
	var keys []string
	for _, p := range pods {
		keys = append(keys, p.key())
	}
	slices.Sort(keys)
	return keys
}

// chaosNames lists pods for people.
func chaosNames(pods []chaosPod) string { return strings.Join(chaosPodKeys(pods), ", ") }

// chaosUndo is all that is needed to make the object, to delete it, and to see whether
// what it did is undone.
type chaosUndo struct {
	Access    kube.Access    `json:"access"`
	Kind      string         `json:"kind"`
	Resource  string         `json:"resource"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Spec      map[string]any `json:"spec"`
	// Run is the run's id.
	Run string `json:"run,omitempty"`
	// Pods are those that are to be hit, Peers those of the other side.
	Pods  []chaosPod `json:"pods,omitempty"`
	Peers []chaosPod `json:"peers,omitempty"`
	// Cut tells that the pods cannot be connected to from here while the fault lasts,
	// Late by how much longer at least that takes.
	Cut  bool          `json:"cut,omitempty"`
	Late spec.Duration `json:"late,omitempty"`
}

// manifest is what the object was made from.
func (u chaosUndo) manifest() chaosManifest { return chaosManifest{kind: u.Kind, spec: u.Spec} }

// affected are all pods that the fault does something to.
func (u chaosUndo) affected() []chaosPod { return slices.Concat(u.Pods, u.Peers) }

// String names the object for people.
func (u chaosUndo) String() string { return u.Kind + " " + u.Namespace + "/" + u.Name }

// object is the object as it is sent.
func (u chaosUndo) object() *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": u.Spec}}
	o = o.DeepCopy()
	o.SetAPIVersion(v1alpha1.SchemeGroupVersion.String())
	o.SetKind(u.Kind)
	o.SetNamespace(u.Namespace)
	o.SetName(u.Name)
	o.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "firedrill", kube.RunLabel: u.Run})
	return o
}

// chaosObject is the object at its API server.
type chaosObject struct {
	chaosUndo
	cluster *kube.Cluster
	api     dynamic.ResourceInterface
}

func (u chaosUndo) open() (*chaosObject, error) {
	c, err := u.Access.Open()
	if err != nil {
		return nil, err
	}
	// JSON has no whole numbers of its own; what is sent must be what was checked.
	u.Spec = chaosNumbers(u.Spec).(map[string]any)
	return &chaosObject{u, c, c.Dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource(u.Resource)).Namespace(u.Namespace)}, nil
}

// chaosNumbers makes numbers whole again that a journal has kept.
func chaosNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = chaosNumbers(x)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = chaosNumbers(x)
		}
		return list
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return v
}

// errChaosGone says that the object is not there.
var errChaosGone = errors.New("the object is not there")

// get reads the object back.
func (o *chaosObject) get(ctx context.Context) (*unstructured.Unstructured, error) {
	got, err := o.api.Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s at %s: %w", o, o.cluster.Says, errChaosGone)
	}
	if err != nil {
		return nil, o.cluster.Explain("look at "+o.String(), err)
	}
	return got, nil
}
