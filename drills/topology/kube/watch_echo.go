package kube

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// echoes measure how late the API server tells: from just before the runner renews
// its own lock, by a call, until the renewal is told, by a watch.
type echoes struct {
	mu sync.Mutex
	// called and seen are when each version of the lock was called for and told; the
	// answer to the call and the watch race each other.
	called, seen map[string]time.Time
	hear         func(lag time.Duration)
}

// echoesKept bounds what waits for its other half: what others renewed, and renewals
// in a silence.
const echoesKept = 64

// renewed notes that the lock got this version by a call that began then.
func (e *echoes) renewed(version string, before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keep(&e.called, version, before)
	e.match(version)
}

// saw notes that a version of the lock was told.
func (e *echoes) saw(version string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keep(&e.seen, version, at)
	e.match(version)
}

func keep(in *map[string]time.Time, version string, at time.Time) {
	if *in == nil || len(*in) >= echoesKept {
		*in = map[string]time.Time{}
	}
	(*in)[version] = at
}

func (e *echoes) match(version string) {
	from, ok := e.called[version]
	to, told := e.seen[version]
	if ok && told {
		delete(e.called, version)
		delete(e.seen, version)
		e.hear(to.Sub(from))
	}
}

// leaseStream is the runner's own lock.
func (w *watcher) leaseStream(e *echoes) *stream {
	chosen := fields.OneTermEqualSelector("metadata.name", PodsLease).String()
	return &stream{
		w: w, what: "lease " + PodsLease, optional: true,
		list: func(ctx context.Context, c *Cluster, ns string) (runtime.Object, error) {
			return c.Client.CoordinationV1().Leases(ns).List(ctx, metav1.ListOptions{FieldSelector: chosen})
		},
		watch: func(ctx context.Context, c *Cluster, ns string, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = chosen
			return c.Client.CoordinationV1().Leases(ns).Watch(ctx, o)
		},
		reset: func(runtime.Object, bool, time.Duration) {},
		next: func(ev watch.Event, at time.Time) {
			if l, ok := ev.Object.(*coordinationv1.Lease); ok && ev.Type != watch.Deleted {
				e.saw(l.ResourceVersion, at)
			}
		},
	}
}
