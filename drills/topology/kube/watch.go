package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// Watch hands on how the pods come and go, as the API server tells: not what was
// there at the beginning, only what changes from then on. It goes on when the API
// server restarts or does not accept the credentials for a while.
func (a *Pods) Watch(ctx context.Context, note func(topology.Change)) error {
	if _, _, err := a.Open(); err != nil {
		return err
	}
	w := &watcher{
		adapter: a, note: note, silent: map[string]time.Duration{}, said: map[string]bool{},
		pods: map[types.UID]*corev1.Pod{}, pulls: map[types.UID]int32{},
	}
	e := &echoes{hear: w.echoed}
	a.lock.echo.listen(e.renewed)
	defer a.lock.echo.listen(nil)
	var all sync.WaitGroup
	for _, s := range w.streams(e) {
		all.Go(func() { s.run(ctx) })
	}
	all.Wait()
	return nil
}

// watcher knows what it has been told of a component's pods so far. What it is told
// comes from several streams.
type watcher struct {
	adapter *Pods

	mu   sync.Mutex
	note func(topology.Change)
	// heard is when the API server told anything at all the last time.
	heard time.Time
	// silent are the streams that have failed, with how long they may not have told;
	// said are those of them that were reported.
	silent map[string]time.Duration
	said   map[string]bool
	// longest is the longest silence that was reported and is not over.
	longest time.Duration

	selector string
	pods     map[types.UID]*corev1.Pod
	serving  map[endpoint]bool
	pulls    map[types.UID]int32
}

// streams are all that is watched. Pods and endpoints must be told; without the
// others, less is known.
func (w *watcher) streams(e *echoes) []*stream {
	out := []*stream{w.podStream(), w.pullStream(), w.leaseStream(e)}
	if w.adapter.Spec.Service != "" {
		out = append(out, w.sliceStream())
	}
	return out
}

// hear notes that the API server told something.
func (w *watcher) hear(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = at
}

// one makes of what handles an event something that a stream can call.
func (w *watcher) one(handle func(watch.Event)) func(watch.Event, time.Time) {
	return func(e watch.Event, _ time.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		handle(e)
	}
}

// tell hands on changes that were late by at most so long.
func (w *watcher) tell(late time.Duration, changes ...topology.Change) {
	for _, c := range changes {
		c.Lag = late
		w.note(c)
	}
}

// echoed hands on how long it took until a change of the runner's own was told.
func (w *watcher) echoed(lag time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(topology.Change{What: timeline.MemberEcho, Detail: "lease " + PodsLease, Lag: lag})
}

// broke notes that a stream has ended: nothing is told since the last that was heard.
func (w *watcher) broke(s *stream, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.silent[s.what]; !known && !w.heard.IsZero() {
		w.silent[s.what] = at.Sub(w.heard)
	}
}

// refused notes that a stream cannot be had for now.
func (w *watcher) refused(s *stream, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.optional || w.said[s.what] {
		return
	}
	if len(w.said) == 0 {
		w.note(topology.Change{What: timeline.MemberSilence, Detail: fmt.Sprint(err)})
	}
	w.said[s.what] = true
}

// resumed notes that a stream tells again, after it was broken for so long, and
// returns how late it may be with what it tells first.
func (w *watcher) resumed(s *stream, broken time.Duration) (late time.Duration) {
	late = w.silent[s.what] + broken
	delete(w.silent, s.what)
	if !w.said[s.what] {
		return late
	}
	delete(w.said, s.what)
	w.longest = max(w.longest, late)
	if len(w.said) == 0 {
		w.note(topology.Change{What: timeline.MemberHeard, Lag: w.longest})
		w.longest = 0
	}
	return late
}
