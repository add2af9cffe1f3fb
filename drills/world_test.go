package drills_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
)

// world is a service that exists in the test's memory only: the engine's logic is
// pure, its plug-ins are not, and those are tested against real servers.
type world struct {
	mu       sync.Mutex
	down     bool // clients see it down
	broken   bool // the fault is in force
	healsIn  time.Duration
	injected int
	restored int

	injectErr, confirmErr, revertErr, remedyErr, restoreErr error
	injectPanic                                             bool
	noRemedy                                                bool
	// swaps has the members change their roles when the first fault is made.
	swaps bool
	// prepared are the targets that a fault was prepared for.
	prepared []drills.Target
	onRemedy func()
}

func (w *world) set(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }

// Observe implements drills.Probe.
func (w *world) Observe(context.Context) drills.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return drills.Observation{Class: timeline.Refused, Detail: "connection refused"}
	}
	return drills.Observation{Class: timeline.OK, By: "a"}
}

// Open implements drills.ProbeKind.
func (w *world) Open(context.Context, drills.Subject) (drills.Probe, error) { return w, nil }

// Prepare implements drills.Injector.
func (w *world) Prepare(_ context.Context, t drills.Target) (drills.Undo, error) {
	w.set(func() { w.prepared = append(w.prepared, t) })
	return drills.Undo{Says: "start it again", Data: json.RawMessage(`{}`)}, nil
}

// Inject implements drills.Injector.
func (w *world) Inject(ctx context.Context, _ drills.Target, _ drills.Undo) error {
	w.set(func() { w.down, w.broken, w.injected = true, true, w.injected+1 })
	if w.healsIn > 0 {
		time.AfterFunc(w.healsIn, func() { w.set(func() { w.down = false }) })
	}
	if w.injectPanic {
		panic("out of cheese")
	}
	return w.injectErr
}

// Confirm implements drills.Confirmer.
func (w *world) Confirm(context.Context, drills.Target, drills.Undo) (string, error) {
	return "the test looked", w.confirmErr
}

// Revert implements drills.Injector.
func (w *world) Revert(context.Context, drills.Undo) error {
	if w.revertErr == nil {
		w.set(func() { w.broken = false })
	}
	return w.revertErr
}

// Apply implements drills.Remedy.
func (w *world) Apply(_ context.Context, _ drills.Target, log drills.RemedyLog) error {
	if w.onRemedy != nil {
		w.onRemedy()
	}
	if w.remedyErr != nil {
		return w.remedyErr
	}
	if err := log.Intend("promote", nil); err != nil {
		return err
	}
	w.set(func() { w.down = false })
	log.Step(topology.Step{Name: "promote", Member: "b"})
	return nil
}

// Discover implements topology.Adapter.
func (w *world) Discover(context.Context) (topology.State, error) {
	roles := []topology.Role{topology.Primary, topology.Replica}
	w.set(func() {
		if w.swaps && w.injected > 0 {
			slices.Reverse(roles)
		}
	})
	return topology.State{Members: []topology.MemberState{{Member: "a", Role: roles[0]}, {Member: "b", Role: roles[1]}}}, nil
}

// Restore implements topology.Adapter.
func (w *world) Restore(ctx context.Context, _ topology.State, _ func(topology.Step)) (topology.Restored, error) {
	w.set(func() { w.restored++; w.down = w.down && w.restoreErr != nil })
	s, err := w.Discover(ctx)
	return topology.Restored{State: s}, errors.Join(err, w.restoreErr)
}

// plugins are catalogues in which everything is the world.
func (w *world) plugins() drills.Catalogues {
	type none struct{}
	return drills.Catalogues{
		Injectors: kind.Of("fault", kind.New("break", "", none{}, func(none) (drills.Injector, error) { return w, nil })),
		Probes:    kind.Of("probe", kind.New("look", "", none{}, func(none) (drills.ProbeKind, error) { return w, nil })),
		Remedies:  kind.Of("remedy", kind.New("mend", "", none{}, func(none) (drills.Remedy, error) { return w, nil })),
		Topology: topology.Kinds{Components: kind.Of("component", kind.New("svc", "", none{}, func(none) (topology.NewAdapter, error) {
			return func(*topology.Component) (topology.Adapter, error) { return w, nil }, nil
		}))},
	}
}

// drill is a drill on the world.
func (w *world) drill(t *testing.T) *drills.Drill {
	t.Helper()
	top, err := w.plugins().Topology.Open("world", topology.Spec{Components: []topology.ComponentSpec{{
		Name: "svc", Kind: "svc", Members: []topology.MemberSpec{{Name: "a"}, {Name: "b"}},
	}}})
	require.NoError(t, err)
	c := top.Components[0]
	primary := drills.Selector{Component: c, Role: topology.Primary}
	d := &drills.Drill{
		Plan: timeline.Plan{
			Scenario: "test", Topology: "world",
			ScenarioSource: json.RawMessage(`{}`), TopologySource: json.RawMessage(`{}`),
			Objectives: []timeline.Objective{{Name: "rto", Component: "svc", Target: 10 * time.Second}},
			Series: []timeline.Series{{
				Probe: "look", Kind: "look", Component: "svc", Client: "fresh", Every: 20 * time.Millisecond,
				Timeout: time.Second, Mode: "Continuous", Judged: true,
			}},
			Faults:   []timeline.PlannedFault{{Name: "break", Kind: "break", Component: "svc", Measured: true}},
			Stable:   timeline.Stable{For: time.Second, Samples: 10, Share: 0.9},
			Baseline: 2 * time.Second, Longest: 30 * time.Second,
		},
		Topology: top,
		Series:   []drills.SeriesStep{{Kind: w, Component: c}},
		Faults:   []drills.FaultStep{{Injector: w, Kind: "break", Target: primary}},
		Limits:   drills.Limits{Members: 1, Sites: 1},
	}
	if !w.noRemedy {
		d.Plan.Remedies = []timeline.PlannedRemedy{{Name: "mend", Kind: "mend"}}
		d.Remedies = []drills.RemedyStep{{Remedy: w, Kind: "mend", Target: primary}}
	}
	return d
}

// run runs a drill in a bubble of its own, in which time is the test's, and
// judges its record.
func (w *world) run(t *testing.T, change func(d *drills.Drill, o *drills.Options)) (res verdict.Result, clean bool) {
	t.Helper()
	home, dir := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := w.drill(t)
		o := drills.Options{
			Home: home, Dir: dir, RunID: "r1", Seed: 7, Plugins: w.plugins(),
			Watchdog: func(context.Context, string) error { return nil },
		}
		if change != nil {
			change(d, &o)
		}
		var err error
		clean, err = drills.Run(t.Context(), d, o)
		require.NoError(t, err)
	})
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	require.Empty(t, rec.Broken)
	res, err = verdict.Judge(rec)
	require.NoError(t, err)
	return res, clean
}
