package kube

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills/topology"
)

// leases is what an API server does with Leases that the fake client does not: it
// refuses what was changed since it was read.
type leases struct {
	mu      sync.Mutex
	version int
	by      map[string]*coordinationv1.Lease
	// before is called before each request is answered, and may refuse it.
	before func(verb string) error
}

func (s *leases) serve(a clienttesting.Action) (bool, runtime.Object, error) {
	if s.before != nil {
		if err := s.before(a.GetVerb()); err != nil {
			return true, nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	switch a := a.(type) {
	case clienttesting.CreateAction: // and update, which is the same interface
		o := a.GetObject().(*coordinationv1.Lease).DeepCopy()
		old, there := s.by[a.GetNamespace()+"/"+o.Name]
		switch {
		case a.GetVerb() == "create" && there:
			return true, nil, apierrors.NewAlreadyExists(of, o.Name)
		case a.GetVerb() == "update" && !there:
			return true, nil, apierrors.NewNotFound(of, o.Name)
		case there && old.ResourceVersion != o.ResourceVersion:
			return true, nil, apierrors.NewConflict(of, o.Name, assert.AnError)
		}
		s.version++
		if !there {
			o.UID, o.CreationTimestamp = types.UID(strconv.Itoa(s.version)), metav1.Now()
		}
		o.ResourceVersion = strconv.Itoa(s.version)
		s.by[a.GetNamespace()+"/"+o.Name] = o
		return true, o.DeepCopy(), nil
	case clienttesting.DeleteActionImpl:
		o, there := s.by[a.Namespace+"/"+a.Name]
		if !there {
			return true, nil, apierrors.NewNotFound(of, a.Name)
		}
		if p := a.DeleteOptions.Preconditions; p == nil || *p.UID != o.UID || *p.ResourceVersion != o.ResourceVersion {
			return true, nil, apierrors.NewConflict(of, a.Name, assert.AnError)
		}
		delete(s.by, a.Namespace+"/"+a.Name)
		return true, nil, nil
	case clienttesting.GetAction:
		if o, there := s.by[a.GetNamespace()+"/"+a.GetName()]; there {
			return true, o.DeepCopy(), nil
		}
		return true, nil, apierrors.NewNotFound(of, a.GetName())
	}
	return false, nil, nil
}

// two returns the locks of two runners that share an API server.
func two(t *testing.T) (s *leases, at leaseAt, one, other *lock) {
	t.Helper()
	s = &leases{by: map[string]*coordinationv1.Lease{}}
	return s, s.at(), &lock{}, &lock{}
}

// at is the lock as one more client of the same API server sees it.
func (s *leases) at() leaseAt {
	client := fake.NewClientset()
	client.PrependReactor("*", "leases", s.serve)
	return leaseAt{&Cluster{Client: client, Says: "API server https://k (kubeconfig f)"}, "shop", PodsLease}
}

func TestLockIsOfOneRun(t *testing.T) {
	s, at, one, other := two(t)
	ctx := t.Context()
	require.NoError(t, one.take(ctx, at, "run-1"))
	require.NoError(t, one.take(ctx, at, "run-1"), "renewed")

	err := other.take(ctx, at, "run-2")
	require.ErrorIs(t, err, topology.ErrLocked)
	for _, says := range []string{"run-1", "https://k", "Lease firedrill in namespace shop", "firedrill recover", "kubectl -n shop delete lease firedrill"} {
		assert.ErrorContains(t, err, says)
	}
	require.NoError(t, other.release(ctx, at, "run-2"), "that of another run stays")
	l := s.by["shop/firedrill"]
	require.NotNil(t, l)
	assert.Equal(t, "run-1", *l.Spec.HolderIdentity)
	assert.EqualValues(t, 60, *l.Spec.LeaseDurationSeconds)
	assert.NotEmpty(t, l.Annotations[hostAnnotation])

	require.NoError(t, one.release(ctx, at, "run-1"))
	require.NoError(t, one.release(ctx, at, "run-1"), "idempotent")
	assert.Empty(t, s.by)
	require.NoError(t, other.take(ctx, at, "run-2"))
}

// Two components of one run in one namespace hold the same Lease.
func TestLockOfTwoComponents(t *testing.T) {
	_, at, one, other := two(t)
	for range 3 {
		require.NoError(t, one.take(t.Context(), at, "run-1"))
		require.NoError(t, other.take(t.Context(), at, "run-1"))
	}
	require.NoError(t, one.release(t.Context(), at, "run-1"))
	require.NoError(t, other.release(t.Context(), at, "run-1"))
}

func TestLockThatWasTakenAwayIsLost(t *testing.T) {
	s, at, one, other := two(t)
	require.NoError(t, one.take(t.Context(), at, "run-1"))
	delete(s.by, "shop/firedrill") // kubectl delete lease
	for range 2 {
		err := one.take(t.Context(), at, "run-1")
		assert.ErrorIs(t, err, topology.ErrLocked)
		assert.ErrorContains(t, err, "was deleted")
	}
	require.NoError(t, other.take(t.Context(), at, "run-2"))
	// However old that one seems, a lock that was lost is not taken back.
	s.by["shop/firedrill"].Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-time.Hour)}
	assert.ErrorIs(t, one.take(t.Context(), at, "run-1"), topology.ErrLocked)
}

func TestLockOfADeadRunIsTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		age   time.Duration
		taken bool
		after time.Duration
	}{
		"fresh":                    {age: time.Second},
		"by a clock that is ahead": {age: -5 * time.Minute},
		"expired":                  {age: 2 * time.Minute, taken: true, after: leaseFor},
		"long ago":                 {age: 11 * time.Minute, taken: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, at, one, other := two(t)
				require.NoError(t, one.take(t.Context(), at, "dead"))
				s.by["shop/firedrill"].Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-c.age)}
				began := time.Now()
				err := other.take(t.Context(), at, "run-2")
				assert.Equal(t, c.after, time.Since(began))
				if !c.taken {
					assert.ErrorIs(t, err, topology.ErrLocked)
					return
				}
				require.NoError(t, err)
				l := s.by["shop/firedrill"]
				assert.Equal(t, "run-2", *l.Spec.HolderIdentity)
				assert.Equal(t, "dead", l.Annotations[takenAnnotation])
				assert.EqualValues(t, 1, *l.Spec.LeaseTransitions)
				assert.ErrorIs(t, one.take(t.Context(), at, "dead"), topology.ErrLocked, "the first was not dead after all")
			})
		})
	}
}

// A runner whose clock is behind by minutes keeps its lock as long as it renews it.
func TestLockIsNotTakenOverByAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, at, one, other := two(t)
		require.NoError(t, one.take(t.Context(), at, "run-1"))
		behind := func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.by["shop/firedrill"].Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-4 * time.Minute)}
		}
		behind()
		ctx, stop := context.WithCancel(t.Context())
		var renewing sync.WaitGroup
		renewing.Go(func() {
			for tick := time.NewTicker(2 * time.Second); ; {
				select {
				case <-tick.C:
					assert.NoError(t, one.take(t.Context(), at, "run-1"))
					behind()
				case <-ctx.Done():
					return
				}
			}
		})
		assert.ErrorIs(t, other.take(t.Context(), at, "run-2"), topology.ErrLocked)
		stop()
		renewing.Wait()
		require.NoError(t, one.take(t.Context(), at, "run-1"))
	})
}

// While it looks at a lock that may have expired, a drill can be stopped.
func TestLockStopsLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, at, one, other := two(t)
		require.NoError(t, one.take(t.Context(), at, "dead"))
		s.by["shop/firedrill"].Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-2 * time.Minute)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := other.take(ctx, at, "run-2")
		assert.ErrorIs(t, err, topology.ErrLocked)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// Two that see the same free lock: one gets it.
func TestLockRace(t *testing.T) {
	s, at, one, other := two(t)
	raced := false
	s.before = func(verb string) error {
		if verb == "create" && !raced {
			raced = true
			require.NoError(t, other.take(t.Context(), s.at(), "run-2"))
		}
		return nil
	}
	assert.ErrorIs(t, one.take(t.Context(), at, "run-1"), topology.ErrLocked)
	assert.Equal(t, "run-2", *s.by["shop/firedrill"].Spec.HolderIdentity)
}

// An API server that does not answer takes no lock away.
func TestLockSurvivesTheAPIServer(t *testing.T) {
	s, at, one, _ := two(t)
	require.NoError(t, one.take(t.Context(), at, "run-1"))
	s.before = func(string) error { return apierrors.NewServiceUnavailable("down") }
	err := one.take(t.Context(), at, "run-1")
	require.Error(t, err)
	assert.NotErrorIs(t, err, topology.ErrLocked)
	assert.ErrorContains(t, err, "https://k")
	assert.Error(t, one.release(t.Context(), at, "run-1"), "not proven to be released")
	s.before = nil
	require.NoError(t, one.release(t.Context(), at, "run-1"))
}

// With the namespace the lock is gone.
func TestLockGoesWithItsNamespace(t *testing.T) {
	s, at, one, _ := two(t)
	require.NoError(t, one.take(t.Context(), at, "run-1"))
	clear(s.by)
	s.before = func(string) error {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop")
	}
	assert.ErrorIs(t, one.take(t.Context(), at, "run-1"), topology.ErrLocked)
	assert.NoError(t, one.release(t.Context(), at, "run-1"))
	err := one.take(t.Context(), at, "run-1")
	assert.ErrorContains(t, err, "not found", "it cannot be taken anew")
	assert.NotErrorIs(t, err, topology.ErrLocked)
}

// Whoever watches hears of each renewal, with a time before it was asked for.
func TestLockTellsOfItsRenewals(t *testing.T) {
	_, at, one, _ := two(t)
	var heard []string
	began := time.Now()
	one.echo.listen(func(version string, before time.Time) {
		assert.WithinRange(t, before, began, time.Now())
		heard = append(heard, version)
	})
	for range 3 {
		require.NoError(t, one.take(t.Context(), at, "run-1"))
	}
	one.echo.listen(nil)
	require.NoError(t, one.take(t.Context(), at, "run-1"))
	assert.Equal(t, []string{"1", "2", "3"}, heard)
}
