package lab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// look asks every process, and the API server about nodes, workloads and faults.
func (k *kubernetes) look(ctx context.Context, st *Status) {
	st.Kubeconfig = k.kubeconfig()
	k.lookAtProcesses(ctx, st)
	if err := k.call(ctx, http.MethodGet, "/readyz", nil, nil); err != nil {
		st.problem("API server: %v", err)
		return
	}
	k.lookAtNodes(ctx, st)
	k.lookAtWorkloads(ctx, st)
	for _, path := range k.faults(ctx) {
		st.problem("fault %s is there", path)
	}
	k.lookAtServices(ctx, st)
}

func (k *kubernetes) lookAtProcesses(ctx context.Context, st *Status) {
	all := k.processes()
	said := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			asked, cancel := context.WithTimeoutCause(ctx, routeWithin, fmt.Errorf("no answer within %s", routeWithin))
			defer cancel()
			said[i] = p.healthy(asked)
		})
	}
	wg.Wait()
	for i, p := range all {
		m := MemberStatus{Name: p.name, Address: p.address, Role: "up", PID: p.pid(ctx), User: p.uid, Dir: p.dir}
		switch {
		case m.PID == 0:
			m.Role = "down"
			st.problem("%s does not run", p.name)
		case said[i] != nil:
			st.problem("%s: %v", p.name, said[i])
		}
		if zone, ok := strings.CutPrefix(p.name, "kubelet-"); ok {
			// A kubelet stands for its node; lookAtNodes says what that is like.
			m.Name, m.Role = "node-"+zone, "down"
			st.Members = append(st.Members, m)
			continue
		}
		st.Services = append(st.Services, m)
	}
}

// condition is what Kubernetes says of an object.
type condition struct {
	Type, Status, Reason, Message string
}

// nodeSpec is what keeps pods away from a node.
type nodeSpec struct {
	Unschedulable bool
	Taints        []struct{ Key string }
}

// foreign tells whether a taint is not one of those that Kubernetes gives and takes
// by itself.
func foreign(taint string) bool { return !strings.HasPrefix(taint, "node.kubernetes.io/") }

func (k *kubernetes) lookAtNodes(ctx context.Context, st *Status) {
	var list struct {
		Items []struct {
			object
			Spec   nodeSpec
			Status struct{ Conditions []condition }
		}
	}
	if err := k.call(ctx, http.MethodGet, "/api/v1/nodes", nil, &list); err != nil {
		st.problem("nodes: %v", err)
		return
	}
	for i := range st.Members {
		m := &st.Members[i]
		ready := condition{Message: "it has not registered"}
		for _, n := range list.Items {
			for _, c := range n.Status.Conditions {
				if n.Metadata.Name == m.Name && c.Type == "Ready" {
					ready = c
				}
			}
			if n.Metadata.Name == m.Name && n.Spec.Unschedulable {
				st.problem("%s takes no pods: it is cordoned", m.Name)
			}
			for _, t := range n.Spec.Taints {
				if n.Metadata.Name == m.Name && foreign(t.Key) {
					st.problem("%s does not take every pod: it has the taint %s", m.Name, t.Key)
				}
			}
		}
		if ready.Status != "True" {
			m.Role = "not ready"
			st.problem("%s is not ready: %s", m.Name, ready.Message)
			continue
		}
		m.Role = "ready"
	}
}

// deployment is what the lab wants to know of one.
type deployment struct {
	object
	Spec   struct{ Replicas int }
	Status struct{ Replicas, ReadyReplicas, UpdatedReplicas int }
}

func (k *kubernetes) lookAtWorkloads(ctx context.Context, st *Status) {
	var list struct{ Items []deployment }
	if err := k.call(ctx, http.MethodGet, "/apis/apps/v1/namespaces/"+ShopNamespace+"/deployments", nil, &list); err != nil {
		st.problem("workloads: %v", err)
		return
	}
	for _, w := range workloads() {
		i := slices.IndexFunc(list.Items, func(d deployment) bool { return d.Metadata.Name == w.Name })
		if i < 0 {
			st.problem("%s: there is no such workload", w.Name)
			continue
		}
		d := list.Items[i]
		if d.Spec.Replicas != w.Replicas {
			st.problem("%s: it is to have %d pods, not %d", w.Name, d.Spec.Replicas, w.Replicas)
		}
		if d.Status.ReadyReplicas < w.Replicas || d.Status.Replicas != d.Status.UpdatedReplicas {
			st.problem("%s: %d of %d pods are ready", w.Name, d.Status.ReadyReplicas, w.Replicas)
		}
	}
}

// faults are the paths of Chaos Mesh's objects: a drill is at work, or left them.
func (k *kubernetes) faults(ctx context.Context) (paths []string) {
	for _, kind := range chaosKinds() {
		if kind == "physicalmachine" || kind == "statuscheck" || kind == "remotecluster" {
			continue // no faults
		}
		var list struct{ Items []object }
		base := "/apis/chaos-mesh.org/v1alpha1"
		if err := k.call(ctx, http.MethodGet, base+"/"+chaosPlural(kind), nil, &list); err != nil {
			continue // it is made with the lab; Chaos Mesh's own trouble is seen elsewhere
		}
		for _, o := range list.Items {
			paths = append(paths, base+"/namespaces/"+o.Metadata.Namespace+"/"+chaosPlural(kind)+"/"+o.Metadata.Name)
		}
	}
	return paths
}

// endpointSlice is a part of the pods behind a Service.
type endpointSlice struct {
	Metadata  struct{ Labels map[string]string }
	Endpoints []struct {
		Addresses  []string
		Conditions struct{ Ready bool }
		TargetRef  struct{ Name string }
	}
}

// lookAtServices asks through each Service as clients do, and each pod behind it: one
// that is never asked whether it is ready may be there and not listen.
func (k *kubernetes) lookAtServices(ctx context.Context, st *Status) {
	var list struct{ Items []endpointSlice }
	if err := k.call(ctx, http.MethodGet, "/apis/discovery.k8s.io/v1/namespaces/"+ShopNamespace+"/endpointslices", nil, &list); err != nil {
		st.problem("endpoints: %v", err)
		return
	}
	var names, urls []string
	for _, w := range workloads() {
		names, urls = append(names, "service "+w.Name), append(urls, "http://"+w.service()+"/healthz")
	}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if !e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			names = append(names, "pod "+e.TargetRef.Name)
			urls = append(urls, fmt.Sprintf("http://%s:%d/healthz", e.Addresses[0], podPort))
			if slice.Metadata.Labels["kubernetes.io/service-name"] == workloads()[0].Name {
				st.LeadsTo = append(st.LeadsTo, e.TargetRef.Name)
			}
		}
	}
	slices.Sort(st.LeadsTo)
	for i, err := range k.ask(ctx, urls) {
		if err != nil {
			st.problem("%s: %v", names[i], err)
		}
	}
}

// ask asks from where clients stand, all at once.
func (k *kubernetes) ask(ctx context.Context, urls []string) []error {
	ctx, cancel := context.WithTimeoutCause(ctx, routeWithin, fmt.Errorf("no answer within %s", routeWithin))
	defer cancel()
	said := make([]error, len(urls))
	var wg sync.WaitGroup
	for i, url := range urls {
		wg.Go(func() { said[i] = k.answers(ctx, k.namespace, url) })
	}
	wg.Wait()
	return said
}
