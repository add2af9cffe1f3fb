package injectors

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// podRef is a pod as it was before the fault: all that another process needs to see
// what became of it.
type podRef struct {
	Member string `json:"member"`
	// Place has the pod's name and its namespace, neither of them "".
	Place kube.Place `json:"place"`
	UID   types.UID  `json:"uid"`
	// Keeper is what brings another pod in its place, as kind/name; "" if that is not
	// one of the built-in workloads.
	Keeper string `json:"keeper,omitempty"`
	// Grace is how long it may take to end.
	Grace spec.Duration `json:"grace,omitempty"`
	// Path is a connection to the pod that came about before the fault.
	Path *path `json:"path,omitempty"`
	// Service is one that sent the pod traffic before the fault.
	Service string `json:"service,omitempty"`
}

// String names the pod as people do.
func (r podRef) String() string { return "pod " + r.Place.Namespace + "/" + r.Place.Pod }

// livePod is a pod as it is now.
type livePod struct {
	podRef
	cluster *kube.Cluster
	pod     *corev1.Pod
}

// podsUndo is what pods were before the fault.
type podsUndo struct {
	Pods []podRef `json:"pods"`
}

// writeUndo writes undo instructions down.
func writeUndo(says string, data any) (drills.Undo, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	return drills.Undo{Says: says, Data: b}, nil
}

// readUndo reads them into data.
func readUndo(u drills.Undo, data any) error {
	if err := json.Unmarshal(u.Data, data); err != nil {
		return fmt.Errorf("read undo: %w", err)
	}
	return nil
}

// targetPods looks at the pods that a fault is to act on. All must be ready.
func targetPods(ctx context.Context, t drills.Target) ([]livePod, error) {
	pods, err := podsOf(ctx, t.Members)
	if err != nil {
		return nil, err
	}
	keepers := keepers{}
	for i := range pods {
		p := &pods[i]
		if chosen := uidOf(t.State, p.Member); chosen != "" && chosen != p.UID {
			return nil, fmt.Errorf("%s is not the one any more that was chosen: it was replaced meanwhile", p)
		}
		if !kube.Ready(p.pod) {
			return nil, fmt.Errorf("%s is not ready (%s): a fault on it would prove nothing", p, kube.Ailment(p.pod))
		}
		if a, ok := t.Component.Adapter.(*kube.Pods); ok && a.Spec.Workload != "" {
			p.Keeper = a.Spec.Workload
		} else if p.Keeper, err = keepers.of(ctx, p.cluster, p.pod); err != nil {
			return nil, err
		}
	}
	return pods, nil
}

// uidOf is what a component's state says of a member that is a pod.
func uidOf(s topology.State, member string) types.UID {
	i := slices.IndexFunc(s.Members, func(m topology.MemberState) bool { return m.Member == member })
	if i < 0 {
		return ""
	}
	return types.UID(s.Members[i].Facts["uid"])
}

// podsOf finds the pods that members are, with few requests.
func podsOf(ctx context.Context, members []*topology.Member) ([]livePod, error) {
	pods, wanted := make([]livePod, len(members)), make([]podRef, len(members))
	for i, m := range members {
		place, c, err := podPlace(ctx, m)
		if err != nil {
			return nil, err
		}
		wanted[i] = podRef{Member: m.Name(), Place: place}
		pods[i].cluster = c
	}
	all, err := nowAll(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for i, n := range all {
		if n.pod == nil {
			return nil, fmt.Errorf("member %s: there is no %s", wanted[i].Member, wanted[i])
		}
		wanted[i].UID, wanted[i].Grace = n.pod.UID, graceOf(n.pod)
		pods[i].podRef, pods[i].pod = wanted[i], n.pod
	}
	return pods, nil
}

// podPlace says where the pod is that a member is.
func podPlace(ctx context.Context, m *topology.Member) (kube.Place, *kube.Cluster, error) {
	place, err := kube.PlaceOf(m.Spec)
	if err != nil {
		return place, nil, err
	}
	if place.Pod == "" && place.Workload == "" {
		return place, nil, fmt.Errorf("member %s is a node: this fault acts on pods: name a component whose members are pods", m.Name())
	}
	c, err := place.Open()
	if err != nil {
		return place, nil, err
	}
	place.Namespace = cmp.Or(place.Namespace, c.Namespace)
	if place.Pod == "" {
		pod, err := onlyPod(ctx, c, place)
		if err != nil {
			return place, nil, fmt.Errorf("member %s: %w", m.Name(), err)
		}
		place.Pod = pod.Name
	}
	place.Workload = ""
	return place, c, nil
}

// graceOf is how long a pod may take to end, as it says itself.
func graceOf(p *corev1.Pod) spec.Duration {
	if p.Spec.TerminationGracePeriodSeconds == nil {
		return 0
	}
	return spec.Duration(time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second)
}

// onlyPod finds the pod of a workload that is one member alone.
func onlyPod(ctx context.Context, c *kube.Cluster, place kube.Place) (*corev1.Pod, error) {
	pods, err := podsOfWorkload(ctx, c, place.Namespace, place.Workload)
	if err == nil && len(pods) != 1 {
		err = fmt.Errorf("%s in namespace %s has %d pods: name the one that the member is (control.with.pod)", place.Workload, place.Namespace, len(pods))
	}
	if err != nil {
		return nil, err
	}
	return &pods[0], nil
}

// podsOfWorkload lists the pods of a workload that are there to serve.
func podsOfWorkload(ctx context.Context, c *kube.Cluster, ns, workload string) ([]corev1.Pod, error) {
	w, err := kube.ParseWorkload(workload)
	if err != nil {
		return nil, err
	}
	s, err := c.Look(ctx, ns, w)
	if err != nil {
		return nil, err
	}
	list, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: s.Selector})
	if err != nil {
		return nil, c.Explain(fmt.Sprintf("list the pods of %s in namespace %s", workload, ns), err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !kube.Lives(&p) }), nil
}

// tryPaths finds out which of the pods can be connected to from here, and how fast.
func tryPaths(ctx context.Context, pods []livePod, address func(livePod) string) {
	var paths []path
	for _, p := range pods {
		if a := address(p); a != "" {
			paths = append(paths, path{From: "the runner", To: p.Member, Address: a})
		}
	}
	for _, found := range open(ctx, paths) {
		i := slices.IndexFunc(pods, func(p livePod) bool { return p.Member == found.To })
		pods[i].Path = &found
	}
}

// addressOf returns where the members' pods listen: where the topology says so, or else
// at the first port that a container of theirs declares; "" if nobody says.
func addressOf(t drills.Target) func(livePod) string {
	return func(p livePod) string {
		if p.pod.Status.PodIP == "" {
			return ""
		}
		for _, m := range t.Members {
			host, port, err := net.SplitHostPort(m.Address())
			if m.Name() == p.Member && err == nil && host == p.pod.Status.PodIP {
				return net.JoinHostPort(host, port)
			}
		}
		for _, c := range p.pod.Spec.Containers {
			for _, port := range c.Ports {
				if port.Protocol == "" || port.Protocol == corev1.ProtocolTCP {
					return net.JoinHostPort(p.pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
				}
			}
		}
		return ""
	}
}

// refs are the pods without what is only known now.
func refs(pods []livePod) []podRef {
	out := make([]podRef, len(pods))
	for i, p := range pods {
		out[i] = p.podRef
	}
	return out
}

// podNames lists pods for people.
func podNames(pods []podRef) []string {
	names := make([]string, len(pods))
	for i, p := range pods {
		names[i] = p.Place.Pod
	}
	return names
}
