package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// listWithin bounds one listing.
	listWithin = 10 * time.Second
	// A stream that cannot be had is asked for again after retryFirst, then less and
	// less often. An API server that restarts is to be heard at once.
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
	// optionalRetry is for what may never be granted.
	optionalRetry = 15 * time.Second
)

// errEnded is a watch that the API server ended.
var errEnded = errors.New("the watch ended")

// stream is one collection of objects: it is listed, then watched from there on.
// When the watch ends, for whatever reason, that is done once more: what happened
// meanwhile is in the listing, so that nothing is ever resumed half.
type stream struct {
	w    *watcher
	what string
	// optional tells that a drill can do without.
	optional bool
	list     func(context.Context, *Cluster, string) (runtime.Object, error)
	watch    func(context.Context, *Cluster, string, metav1.ListOptions) (watch.Interface, error)
	// reset takes a listing, first tells that it is the first. next takes one event, and when it came.
	reset func(list runtime.Object, first bool, late time.Duration)
	next  func(watch.Event, time.Time)

	begun  bool
	broken time.Time
}

// run goes on until ctx ends.
func (s *stream) run(ctx context.Context) {
	wait := retryFirst
	for {
		held, err := s.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if held {
			s.broken = time.Now()
			s.w.broke(s, s.broken)
			wait = retryFirst
		} else {
			s.w.refused(s, err)
		}
		if s.optional && (apierrors.IsForbidden(err) || apierrors.IsNotFound(err)) {
			wait = optionalRetry
		}
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, retryMost)
	}
}

// once lists, and watches until the watch ends; held tells that it came to that.
func (s *stream) once(ctx context.Context) (held bool, err error) {
	c, ns, err := s.w.adapter.Open() // credentials may have been renewed
	if err != nil {
		return false, err
	}
	within, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	list, err := s.list(within, c, ns)
	if err != nil {
		return false, c.Explain(fmt.Sprintf("list the %s in namespace %s", s.what, ns), err)
	}
	listed, err := meta.ListAccessor(list)
	if err != nil {
		return false, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, err := s.watch(ctx, c, ns, metav1.ListOptions{ResourceVersion: listed.GetResourceVersion(), AllowWatchBookmarks: true})
	if err != nil {
		return false, c.Explain(fmt.Sprintf("watch the %s in namespace %s", s.what, ns), err)
	}
	defer events.Stop()
	s.take(list)
	return true, s.follow(ctx, events.ResultChan())
}

// follow takes events until there are no more, or ctx ends.
func (s *stream) follow(ctx context.Context, events <-chan watch.Event) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, more := <-events:
			if !more {
				return errEnded
			}
			if e.Type == watch.Error {
				return apierrors.FromObject(e.Object)
			}
			at := time.Now()
			s.w.hear(at)
			if e.Type != watch.Bookmark {
				s.next(e, at)
			}
		}
	}
}

// take compares a listing with what is known.
func (s *stream) take(list runtime.Object) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	now := time.Now()
	var late time.Duration
	if s.begun {
		late = s.w.resumed(s, now.Sub(s.broken))
	} else if s.w.said[s.what] {
		s.w.resumed(s, 0)
	}
	s.w.heard = now
	s.reset(list, !s.begun, late)
	s.begun = true
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
