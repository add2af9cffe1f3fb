package kube

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// endpoint is a pod among the endpoints of a Service; a pod of a StatefulSet comes
// back under its name.
type endpoint struct {
	pod string
	uid types.UID
}

// sliceStream is who gets traffic from the Service.
func (w *watcher) sliceStream() *stream {
	selector := discoveryv1.LabelServiceName + "=" + w.adapter.Spec.Service
	known := map[string]*discoveryv1.EndpointSlice{}
	return &stream{
		w: w, what: "endpoints of the service " + w.adapter.Spec.Service,
		list: func(ctx context.Context, c *Cluster, ns string) (runtime.Object, error) {
			return c.Client.DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
		},
		watch: func(ctx context.Context, c *Cluster, ns string, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return c.Client.DiscoveryV1().EndpointSlices(ns).Watch(ctx, o)
		},
		reset: func(list runtime.Object, first bool, late time.Duration) {
			items := list.(*discoveryv1.EndpointSliceList).Items
			clear(known)
			for i := range items {
				known[items[i].Name] = &items[i]
			}
			if first {
				w.serving = serving(known)
			}
			w.compare(known, late)
		},
		next: w.one(func(e watch.Event) {
			s, ok := e.Object.(*discoveryv1.EndpointSlice)
			if !ok {
				return
			}
			if known[s.Name] = s; e.Type == watch.Deleted {
				delete(known, s.Name)
			}
			w.compare(known, 0)
		}),
	}
}

// compare tells who gets traffic now and did not before, or the other way round.
func (w *watcher) compare(slicesNow map[string]*discoveryv1.EndpointSlice, late time.Duration) {
	was, is := w.serving, serving(slicesNow)
	w.serving = is
	for _, e := range sorted(was) {
		if !is[e] {
			w.tell(late, topology.Change{Member: e.pod, What: timeline.MemberUnserving, Detail: fate(e, slicesNow)})
		}
	}
	for _, e := range sorted(is) {
		if !was[e] {
			w.tell(late, topology.Change{Member: e.pod, What: timeline.MemberServing})
		}
	}
}

func sorted(set map[endpoint]bool) []endpoint {
	return slices.SortedFunc(maps.Keys(set), func(x, y endpoint) int {
		return cmp.Or(cmp.Compare(x.pod, y.pod), cmp.Compare(x.uid, y.uid))
	})
}

// serving are the endpoints that are ready in any slice.
func serving(all map[string]*discoveryv1.EndpointSlice) map[endpoint]bool {
	out := map[endpoint]bool{}
	each(all, func(e endpoint, c discoveryv1.EndpointConditions) {
		if c.Ready == nil || *c.Ready {
			out[e] = true
		}
	})
	return out
}

// each goes through all endpoints that are pods.
func each(all map[string]*discoveryv1.EndpointSlice, do func(endpoint, discoveryv1.EndpointConditions)) {
	for _, s := range all {
		for _, e := range s.Endpoints {
			if t := e.TargetRef; t != nil && t.Kind == "Pod" {
				do(endpoint{t.Name, t.UID}, e.Conditions)
			}
		}
	}
}

// fate says what became of an endpoint that gets no traffic.
func fate(of endpoint, all map[string]*discoveryv1.EndpointSlice) string {
	out := "removed"
	each(all, func(e endpoint, c discoveryv1.EndpointConditions) {
		if e != of {
			return
		}
		if out = "not ready"; c.Terminating != nil && *c.Terminating {
			out = "terminating"
		}
	})
	return out
}
