package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/topology"
)

// The names of the Leases that are the drill locks: of a namespace, and of the nodes.
const (
	PodsLease  = "firedrill"
	NodesLease = "firedrill-nodes"
)

// What a lock says about its holder.
const (
	hostAnnotation = "firedrill.dev/host"
	// takenAnnotation names the run whose lock had expired when it was taken over.
	takenAnnotation = "firedrill.dev/taken-over-from"
	managedLabel    = "app.kubernetes.io/managed-by"
	managedBy       = "firedrill"
)

const (
	// leaseFor is how long a lock holds without being renewed.
	leaseFor = time.Minute
	// abandonedAfter is the age of a lock that is dead by any clock: hosts whose clocks
	// differ by that much cannot even log in to the API server.
	abandonedAfter = 10 * time.Minute
	// lookEvery is how often a lock that may have expired is looked at.
	lookEvery = 500 * time.Millisecond
	// leaseTries is how often a lock is tried again that changes meanwhile.
	leaseTries = 5
)

// lock is the drill lock of a namespace or of the nodes, as one adapter holds it. The
// zero value is ready; several adapters of one run share the Lease.
type lock struct {
	mu sync.Mutex
	// last is the Lease as this adapter wrote it, nil while it holds none.
	last *coordinationv1.Lease
	echo echo
}

// echo hands the renewals of the lock to whoever watches the Lease: a watch that tells
// of a version cannot be later than the time since just before the call that wrote it.
// It can be told before that is known here, as the answer to the call and the watch
// race each other.
type echo struct {
	mu    sync.Mutex
	hears func(version string, before time.Time)
}

// listen makes f hear every renewal from now on, in the renewing goroutine; nil ends
// that.
func (e *echo) listen(f func(version string, before time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hears = f
}

// renewed tells that the lock got this version by a call that began after before.
func (e *echo) renewed(version string, before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hears != nil {
		e.hears(version, before)
	}
}

// Lock implements topology.Platform.
func (a *Pods) Lock(ctx context.Context, runID string) error {
	c, ns, err := a.Open()
	if err != nil {
		return err
	}
	return a.lock.take(ctx, leaseAt{Cluster: c, namespace: ns, name: PodsLease}, runID)
}

// Unlock implements topology.Platform.
func (a *Pods) Unlock(ctx context.Context, runID string) error {
	c, ns, err := a.Open()
	if err != nil {
		return err
	}
	return a.lock.release(ctx, leaseAt{Cluster: c, namespace: ns, name: PodsLease}, runID)
}

// Lock implements topology.Platform. All drills of nodes of a cluster need the same
// namespace, as the lock is there.
func (a *Nodes) Lock(ctx context.Context, runID string) error {
	c, ns, err := a.open()
	if err != nil {
		return err
	}
	return a.lock.take(ctx, leaseAt{Cluster: c, namespace: ns, name: NodesLease}, runID)
}

// Unlock implements topology.Platform.
func (a *Nodes) Unlock(ctx context.Context, runID string) error {
	c, ns, err := a.open()
	if err != nil {
		return err
	}
	return a.lock.release(ctx, leaseAt{Cluster: c, namespace: ns, name: NodesLease}, runID)
}

// open opens the cluster and says in which namespace the lock is.
func (a *Nodes) open() (*Cluster, string, error) {
	c, err := a.Spec.Open()
	if err != nil {
		return nil, "", err
	}
	return c, cmp.Or(a.Spec.Namespace, c.Namespace), nil
}

// leaseAt is a Lease in a cluster.
type leaseAt struct {
	*Cluster
	namespace, name string
}

func (l leaseAt) String() string {
	return fmt.Sprintf("drill lock (Lease %s in namespace %s)", l.name, l.namespace)
}

func (l leaseAt) get(ctx context.Context) (*coordinationv1.Lease, error) {
	return l.Client.CoordinationV1().Leases(l.namespace).Get(ctx, l.name, metav1.GetOptions{})
}

// write makes the Lease, or changes the one that was read.
func (l leaseAt) write(ctx context.Context, o *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	leases := l.Client.CoordinationV1().Leases(l.namespace)
	if o.ResourceVersion == "" {
		return leases.Create(ctx, o, metav1.CreateOptions{})
	}
	return leases.Update(ctx, o, metav1.UpdateOptions{})
}

// lostError is of a lock that was taken away, though no other run has it: whoever
// deletes the Lease of a drill that lives ends that drill.
type lostError struct{ what string }

func (e lostError) Error() string { return e.what }

// Is makes it the error of a lock that another run holds.
func (lostError) Is(target error) bool { return target == topology.ErrLocked }

// take makes or renews the lock for a run, or takes one over that nobody renews.
func (k *lock) take(ctx context.Context, at leaseAt, runID string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	renewing := k.last != nil && holder(k.last) == runID
	if renewing {
		// As it was written last; most of the time nobody else writes it.
		if err := k.put(ctx, at, k.last, runID); !stale(err) {
			return at.Explain("renew the "+at.String(), err)
		}
	}
	var err error
	for range leaseTries {
		var o *coordinationv1.Lease
		o, err = at.get(ctx)
		if gone(err) && renewing {
			return lostError{at.String() + " was deleted, maybe with its namespace: somebody wants this drill to end"}
		}
		if gone(err) {
			o, err = &coordinationv1.Lease{}, nil
		}
		if err == nil && holder(o) != "" && holder(o) != runID {
			if renewing {
				return at.refuse(o) // it was ours, and is not any more
			}
			if err := at.abandoned(ctx, o); err != nil {
				return err
			}
		}
		if err == nil {
			err = k.put(ctx, at, o, runID)
		}
		if !stale(err) {
			return at.Explain("take the "+at.String(), err)
		}
	}
	return at.Explain("take the "+at.String(), err)
}

// stale tells that a Lease was changed, made or deleted by somebody else since it was
// read.
func stale(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
		// A namespace that is gone is not found either, again and again.
		apierrors.IsNotFound(err)
}

// put writes the Lease with the run as its holder.
func (k *lock) put(ctx context.Context, at leaseAt, read *coordinationv1.Lease, runID string) error {
	o := read.DeepCopy()
	o.Name, o.Namespace = at.name, at.namespace
	now := metav1.NowMicro()
	if old := holder(o); old != runID {
		host, _ := os.Hostname()
		o.Labels = with(o.Labels, managedLabel, managedBy)
		o.Annotations = with(o.Annotations, hostAnnotation, host)
		o.Spec.AcquireTime = &now
		if old != "" {
			o.Annotations = with(o.Annotations, takenAnnotation, old)
			o.Spec.LeaseTransitions = new(transitions(o) + 1)
		}
	}
	o.Spec.HolderIdentity, o.Spec.RenewTime = &runID, &now
	o.Spec.LeaseDurationSeconds = new(int32(leaseFor.Seconds()))
	before := time.Now()
	written, err := at.write(ctx, o)
	if err != nil {
		return err
	}
	k.last = written
	k.echo.renewed(written.ResourceVersion, before)
	return nil
}

func with(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

func holder(o *coordinationv1.Lease) string {
	if o.Spec.HolderIdentity == nil {
		return ""
	}
	return *o.Spec.HolderIdentity
}

func transitions(o *coordinationv1.Lease) int32 {
	if o.Spec.LeaseTransitions == nil {
		return 0
	}
	return *o.Spec.LeaseTransitions
}

// lasts is how long the Lease holds without being renewed.
func lasts(o *coordinationv1.Lease) time.Duration {
	if s := o.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		return time.Duration(*s) * time.Second
	}
	return leaseFor
}

// unrenewed is how long ago the Lease was renewed, if the clock of its holder agrees
// with ours.
func unrenewed(o *coordinationv1.Lease) time.Duration {
	if o.Spec.RenewTime == nil {
		return time.Since(o.CreationTimestamp.Time)
	}
	return time.Since(o.Spec.RenewTime.Time)
}

// abandoned returns nil when the holder of a Lease is gone, and else refuses. The
// holder's clock is not believed: a Lease that seems to have expired is looked at for
// as long as it holds, by our own clock, and must not change meanwhile. Only one that
// is older than any clock is wrong is given up at once.
func (l leaseAt) abandoned(ctx context.Context, o *coordinationv1.Lease) error {
	age := unrenewed(o)
	if age > abandonedAfter {
		return nil
	}
	if age < lasts(o) {
		return l.refuse(o)
	}
	over := time.NewTimer(lasts(o))
	defer over.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return nil // writing it still fails if it changed just now
		case <-ctx.Done():
			return errors.Join(l.refuse(o), context.Cause(ctx))
		case <-tick.C:
		}
		now, err := l.get(ctx)
		switch {
		case gone(err):
			return nil
		case err == nil && now.ResourceVersion != o.ResourceVersion:
			return l.refuse(now)
		}
	}
}

// refuse says who holds the lock and what to do about it.
func (l leaseAt) refuse(o *coordinationv1.Lease) error {
	held := "of unknown age"
	if t := o.Spec.AcquireTime; t != nil {
		held = "since " + t.UTC().Format(time.RFC3339)
	}
	return fmt.Errorf("%s at %s: %w: run %s on host %s holds it %s, renewed %s ago:"+
		" wait until it is done; if it is dead, run firedrill recover on that host, or see that nothing of it is left and then"+
		" kubectl -n %s delete lease %s",
		l, l.Says, topology.ErrLocked, holder(o), cmp.Or(o.Annotations[hostAnnotation], "unknown"), held,
		max(0, unrenewed(o)).Round(time.Second), l.namespace, l.name)
}

// release deletes the lock if the run holds it.
func (k *lock) release(ctx context.Context, at leaseAt, runID string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = nil
	var err error
	for range leaseTries {
		var o *coordinationv1.Lease
		if o, err = at.get(ctx); err == nil {
			if holder(o) != runID {
				return nil
			}
			err = at.Client.CoordinationV1().Leases(at.namespace).Delete(ctx, at.name, metav1.DeleteOptions{
				Preconditions: &metav1.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion},
			})
		}
		if gone(err) {
			return nil // the namespace, maybe: the lock is gone with it
		}
		if !apierrors.IsConflict(err) {
			break
		}
	}
	return at.Explain("release the "+at.String(), err)
}
