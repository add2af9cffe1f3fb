package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// begin recovers what an earlier run left, takes the lock, and opens record and
// journal. Until it returns, nothing is touched.
func begin(ctx context.Context, d *Drill, o Options) (_ *run, err error) {
	if err := recoverEarlier(ctx, o, d.Topology.Name); err != nil {
		return nil, err
	}
	lock, err := takeLock(o.Home, d.Topology.Name, false)
	if err != nil {
		return nil, err
	}
	r := &run{
		d: d, o: o, lock: lock, clock: timeline.NewClock(),
		keep: map[string]topology.State{}, targets: map[int]Target{}, survived: map[*topology.Member]bool{},
	}
	defer func() {
		if err != nil {
			r.abandon(err)
			lock.release()
		}
	}()
	r.board = newBoard(d.Plan, r.clock)
	if r.rec, err = timeline.Create(o.Dir, r.clock); err != nil {
		return nil, err
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	path := filepath.Join(journalDir(o.Home), o.RunID+".jsonl")
	r.jr, err = journal.Create(path, journal.Header{
		RunID: o.RunID, RunDir: o.Dir, Topology: d.Topology.Name,
		Namespace: d.Topology.Spec.Network.Namespace,
		Lock:      lock.path, StartedAt: r.clock.Epoch(), PID: os.Getpid(),
	}, o.AfterJournal)
	if err != nil {
		return nil, err
	}
	if err := o.Watchdog(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("start watchdog: %w", err), r.jr.Close(o.Dir))
	}
	return r, nil
}

// abandon ends the record of a run that could not begin, and so touched nothing. If
// not even that can be written, there is no record at all: half of one would have to
// be read as that of a run which left things behind.
func (r *run) abandon(why error) {
	if r.rec == nil {
		return
	}
	r.note(timeline.StopRequested{Why: text(why)})
	if err := closeRecord(r.rec, r.o.Dir, timeline.CleanedUp{Verdict: "clean"}, false); err != nil {
		_ = os.Remove(filepath.Join(r.o.Dir, timeline.EventsFile))
	}
}

// start opens the record.
func (r *run) start() error {
	digest, err := timeline.PlanDigest(r.d.Plan)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	_, err = r.rec.Append(timeline.Started{
		RunID: r.o.RunID, Version: r.o.Version, StartedAt: r.clock.Epoch(), Seed: r.o.Seed,
		Host:     fmt.Sprintf("%s (%s/%s, %d CPUs)", host, runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Operator: r.o.Operator, Plan: r.d.Plan, PlanDigest: digest,
	})
	return err
}

// note records an event and shows it. A record that cannot be written is seen
// by the guard, which aborts the drill.
func (r *run) note(payload any) timeline.Offset {
	at, _ := r.rec.Append(payload)
	if r.o.Watcher != nil {
		r.board.show(func() { r.o.Watcher.Event(at, r.clock.Time(at), payload) })
	}
	return at
}

func (r *run) phase(name string) {
	r.board.phase(name)
	r.note(timeline.PhaseBegan{Phase: name})
}

func (r *run) caveat(format string, args ...any) {
	r.note(timeline.Caveat{Text: fmt.Sprintf(format, args...)})
}

// leftover notes something that is not proven to be put back: the run is dirty.
func (r *run) leftover(err error) { r.leftovers = append(r.leftovers, text(err)) }

// end closes the record and, if everything is put back, the journal.
func (r *run) end() error {
	defer r.lock.release()
	r.rest()
	r.board.stop()
	verdict := "clean"
	if len(r.leftovers) > 0 {
		verdict = "dirty"
	}
	err := closeRecord(r.rec, r.o.Dir, timeline.CleanedUp{Verdict: verdict, Leftovers: r.leftovers}, false)
	if first := r.unrecorded(); first != nil {
		err = first // what comes after it is the same again
	}
	if err != nil {
		back := "everything is put back"
		if len(r.leftovers) > 0 {
			back = "not put back: " + strings.Join(r.leftovers, "; ")
		}
		err = fmt.Errorf("%w: the record cannot be written, and an unrecorded drill proves nothing (%s): %w", ErrAborted, back, err)
	}
	if verdict == "clean" {
		return errors.Join(err, r.jr.Close(r.o.Dir))
	}
	return errors.Join(err, r.jr.Leave())
}

// closeRecord writes the last events of a record: what was put back, and the
// digests of every file that belongs to it.
func closeRecord(rec *timeline.Writer, dir string, c timeline.CleanedUp, interrupted bool) error {
	if c.Leftovers == nil {
		c.Leftovers = []string{}
	}
	_, err := rec.Append(c)
	err = errors.Join(err, rec.Seal())
	files := map[string]string{}
	for _, pattern := range []string{timeline.SamplesFile, timeline.ExchangesFile, "ledger.*"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, p := range paths {
			d, derr := timeline.FileDigest(p)
			err = errors.Join(err, derr)
			files[filepath.Base(p)] = d
		}
	}
	_, aerr := rec.Append(timeline.Ended{FinishedAt: time.Now().Round(0).UTC(), Files: files, Interrupted: interrupted})
	return errors.Join(err, aerr, rec.Close())
}
