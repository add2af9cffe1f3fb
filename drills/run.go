package drills

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/kind"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// Catalogues are all plug-ins that a journal may name.
type Catalogues struct {
	Injectors kind.Catalogue[Injector]
	Probes    kind.Catalogue[ProbeKind]
	Remedies  kind.Catalogue[Remedy]
	Topology  topology.Kinds
}

// Options are what a run needs beyond its plan.
type Options struct {
	// Home is where journals and locks lie; Dir is the run directory. Both exist.
	Home, Dir string
	RunID     string
	Seed      uint64
	Version   string
	Operator  string
	Plugins   Catalogues
	// Watchdog starts the detached process that undoes everything when the runner
	// is gone; it returns once that process stands by.
	Watchdog func(ctx context.Context, journalPath string) error
	// Watcher may be nil.
	Watcher Watcher
	// Recovered is told of each earlier run that something was left of, once it was
	// dealt with and before the drill begins. May be nil.
	Recovered func(Recovery)
	// Slack is what a fault's time to live exceeds its planned time by: for so long
	// the watchdog leaves a runner that hangs alone. 0 is 30 s.
	Slack time.Duration
	// Hurry, once closed, skips graceful waits; everything is undone all the same.
	Hurry <-chan struct{}
	// AfterJournal is called with the number of journal appends so far, once each
	// is durable. May be nil.
	AfterJournal func(n int)
}

// undoWithin bounds each stage of the undoing of a run: none takes the time of the
// next. Only making a component whole takes as long as it takes: a large database is
// copied, and half a copy is worth nothing.
const undoWithin = 5 * time.Minute

// ErrAborted is the cause of every early stop; its text says why.
var ErrAborted = errors.New("aborted")

// Run carries out a drill and writes nothing but the record: the verdict is
// computed from that. A drill that was aborted says so in its record. It returns
// an error only if the record or the journal could not be begun or ended; clean
// tells, in any case, whether everything is put back.
func Run(ctx context.Context, d *Drill, o Options) (clean bool, err error) {
	r, err := begin(ctx, d, o)
	if errors.Is(err, ErrDirty) {
		return false, err
	} else if err != nil {
		return true, fmt.Errorf("nothing was touched: %w", err)
	}
	ctx, cancel := r.guard(ctx)
	defer cancel()

	stopped := r.stages(ctx, []stage{
		{timeline.PhasePreflight, r.preflight},
		{timeline.PhaseBaseline, r.baseline},
		{timeline.PhaseFault, r.inject},
		{timeline.PhaseHeal, r.heal},
		{timeline.PhaseAudit, r.auditRecovered},
	})

	// From here on nothing stops the run: what was done is undone, whatever
	// happened above and however the caller's context ended.
	undo := context.WithoutCancel(ctx)
	back := []stage{
		{timeline.PhaseRevert, r.revert},
		{timeline.PhaseAudit, r.auditReturned},
		{timeline.PhaseRejoin, r.rejoin},
		{timeline.PhaseSteady, r.steady},
		{timeline.PhaseAudit, r.auditRejoined},
	}
	if stopped != nil {
		// The verdict says "aborted" by itself.
		r.note(timeline.StopRequested{Why: strings.TrimPrefix(stopped.Error(), ErrAborted.Error()+": ")})
		back = []stage{{timeline.PhaseRevert, r.revert}, {timeline.PhaseRejoin, r.rejoin}}
	}
	for _, s := range append(back, stage{do: r.sweep}) {
		within, done := context.WithCancel(undo)
		if s.phase != timeline.PhaseRejoin {
			within, done = context.WithTimeoutCause(undo, undoWithin, fmt.Errorf("%s: not done within %s", s.phase, undoWithin))
		}
		if err := r.stages(within, []stage{s}); err != nil && !errors.Is(err, errUnrecorded) {
			r.leftover(err)
		}
		done()
	}
	err = r.end()
	return len(r.leftovers) == 0, err
}

// stage is a part of the run; its name is the phase it begins, if any.
type stage struct {
	phase string
	do    func(context.Context) error
}

// stages does one stage after the other until one fails or the context ends,
// and turns a panic into an error, so that the way back is always taken.
func (r *run) stages(ctx context.Context, stages []stage) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrAborted, p, debug.Stack())
		}
	}()
	for _, s := range stages {
		if s.phase != "" {
			r.phase(s.phase)
		}
		if err := s.do(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// run is a drill under way.
type run struct {
	d       *Drill
	o       Options
	clock   timeline.Clock
	rec     *timeline.Writer
	jr      *journal.Journal
	lock    *lock
	locks   occupied
	board   *board
	probe   probing
	ledgers ledgers

	// keep is each component as it was before the first fault.
	keep map[string]topology.State
	// targets are what each fault that was made acts on.
	targets map[int]Target
	// lapse is why a fault is not in force any more, nil while all are; see attend.
	lapse atomic.Pointer[error]
	// mu guards made: the intents to be undone, oldest first.
	mu   sync.Mutex
	made []*made
	// effective is when the last measured fault was confirmed.
	effective timeline.Offset
	leftovers []string
	// rows is how many rows the primary had when it was last read back.
	rows uint64
	// survived are the members that answered when the service had recovered.
	survived map[*topology.Member]bool
}
