package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// ErrDirty says that something could not be undone.
var ErrDirty = errors.New("not everything is put back")

// Undone is one intent that a recovery dealt with.
type Undone struct {
	Name    string `json:"name"`
	Says    string `json:"says"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// Recovery is what a recovery did.
type Recovery struct {
	RunID  string   `json:"run_id"`
	RunDir string   `json:"run_dir"`
	Undone []Undone `json:"undone"`
	// KeptOut are members that were not re-admitted, with the reason.
	KeptOut map[string]string `json:"kept_out,omitempty"`
}

// Journals returns what is left to recover in a home, in the order in which the runs
// began. A topology name other than "" narrows it.
func Journals(home, topologyName string) ([]journal.State, error) {
	paths, err := journal.List(journalDir(home))
	if err != nil {
		return nil, err
	}
	var left []journal.State
	for _, p := range paths {
		s, err := journal.Read(p)
		if errors.Is(err, os.ErrNotExist) {
			continue // finished meanwhile
		}
		if err != nil {
			return nil, err
		}
		if topologyName == "" || s.Header.Topology == topologyName {
			left = append(left, s)
		}
	}
	slices.SortStableFunc(left, func(a, b journal.State) int { return a.Header.StartedAt.Compare(b.Header.StartedAt) })
	return left, nil
}

// Recover undoes, newest first, whatever the run of a journal left, from the
// journal alone, and closes the run's record. It waits for a live runner or
// watchdog to let go if wait is set, and fails with ErrLocked otherwise. It may
// be called again and again. An error that is ErrDirty means that something is
// still not undone, and that it may be tried again.
func Recover(ctx context.Context, home, path string, plugins Catalogues, by string, wait bool) (Recovery, error) {
	s, err := journal.Read(path)
	if err != nil {
		return Recovery{}, err
	}
	if s.Header.RunID == "" {
		return Recovery{}, fmt.Errorf("%w: journal %s is damaged: its first line cannot be read: undo by hand what its other lines say, if there are any, then remove it", ErrDirty, path)
	}
	l, err := takeLock(home, s.Header.Topology, wait)
	if err != nil {
		return Recovery{}, err
	}
	defer l.release()
	return recoverLocked(ctx, path, plugins, by)
}

// Idle returns ErrLocked if a runner or a watchdog is at work on a topology.
func Idle(home, topologyName string) error {
	l, err := takeLock(home, topologyName, false)
	if err != nil {
		return err
	}
	l.release()
	return nil
}

// Discard closes a journal whose topology no longer exists, and with it whatever
// was to be undone: everything in it is gone.
func Discard(home, path string, plugins Catalogues, by string) error {
	s, err := journal.Read(path)
	if err != nil {
		return err
	}
	l, err := takeLock(home, s.Header.Topology, false)
	if err != nil {
		return err
	}
	defer l.release()
	j, err := journal.Open(path)
	if err != nil {
		return err
	}
	c := &closing{by: by, plugins: plugins, rec: &Recovery{}}
	c.resume(s)
	for _, i := range s.Pending {
		if i.Sort == sortFault {
			c.note(timeline.Reverted{Fault: i.Name, Outcome: timeline.RevertGone, Elsewhere: true})
		}
		if err := j.Done(i.ID, timeline.RevertGone, by); err != nil {
			return err
		}
	}
	c.end(s.Header.RunDir)
	return j.Close(s.Header.RunDir)
}

// recoverLocked recovers; the caller holds the lock, so the journal is read anew.
func recoverLocked(ctx context.Context, path string, plugins Catalogues, by string) (Recovery, error) {
	s, err := journal.Read(path)
	if errors.Is(err, os.ErrNotExist) {
		return Recovery{}, nil // somebody was faster
	}
	if err != nil {
		return Recovery{}, err
	}
	rec := Recovery{RunID: s.Header.RunID, RunDir: s.Header.RunDir, Undone: []Undone{}, KeptOut: map[string]string{}}
	j, err := journal.Open(path)
	if err != nil {
		return rec, err
	}
	if finished(s) {
		return rec, j.Close(s.Header.RunDir)
	}
	c := &closing{by: by, plugins: plugins, rec: &rec}
	c.resume(s)
	for _, err := range undoAll(s.Pending, func(i journal.Intent) error { return c.undo(ctx, j, i) }) {
		c.left = append(c.left, text(err))
	}
	c.end(s.Header.RunDir)
	if len(c.left) > 0 {
		return rec, fmt.Errorf("%w: %s", ErrDirty, strings.Join(c.left, "; "))
	}
	return rec, j.Close(s.Header.RunDir)
}

// finished tells that a runner died when all was done but the journal still to be put
// away. Its record is sealed: nothing may be added, least of all that it was aborted.
func finished(s journal.State) bool {
	if s.Closed {
		return true
	}
	rec, err := timeline.Read(s.Header.RunDir)
	if err != nil || rec.Ended == nil || len(s.Pending) > 0 {
		return false
	}
	clean := false
	for _, e := range rec.Events {
		if c, ok := e.Payload.(timeline.CleanedUp); ok {
			clean = c.Verdict == "clean"
		}
	}
	return clean
}

// closing is a recovery under way. The record is written if it can be: putting
// things back comes first.
type closing struct {
	by      string
	plugins Catalogues
	rec     *Recovery
	log     *timeline.Writer
	left    []string
}

func (c *closing) resume(s journal.State) {
	w, err := timeline.Resume(s.Header.RunDir)
	if err != nil {
		return
	}
	c.log = w
	if !s.Left {
		c.note(timeline.StopRequested{Why: "the runner died; " + c.by + " put everything back"})
	}
	c.catchUp(s)
}

// catchUp records the reverts that the journal knows of and the record does not:
// the runner died in between.
func (c *closing) catchUp(s journal.State) {
	rec, err := timeline.Read(s.Header.RunDir)
	if err != nil {
		return
	}
	known := map[string]bool{}
	for _, e := range rec.Events {
		if r, ok := e.Payload.(timeline.Reverted); ok && r.Outcome != timeline.RevertFailed {
			known[r.Fault] = true
		}
	}
	for _, u := range s.Undone {
		if u.Sort == sortFault && !known[u.Name] {
			c.note(timeline.Reverted{Fault: u.Name, Outcome: u.Outcome, Elsewhere: true})
		}
	}
}

func (c *closing) note(payload any) {
	if c.log != nil {
		_, _ = c.log.Append(payload) // a full disk must not stop the undoing
	}
}

func (c *closing) undo(ctx context.Context, j *journal.Journal, i journal.Intent) error {
	if i.Sort == sortFault {
		c.note(timeline.Reverting{Fault: i.Name})
	}
	u := undoer{plugins: c.plugins, restored: func(component string, _ time.Time, res topology.Restored, err error) {
		c.note(timeline.Rejoined{
			Component: component, Members: seen(res.State), KeptOut: res.KeptOut, Errant: res.Errant, Err: text(err),
		})
		for m, why := range res.KeptOut {
			c.rec.KeptOut[m] = why
		}
	}}
	err := u.undoWithin(ctx, i)
	outcome := revertOutcome(err)
	if i.Sort == sortFault {
		c.note(timeline.Reverted{Fault: i.Name, Outcome: outcome, Err: text(err), Elsewhere: true})
	}
	_ = j.Done(i.ID, outcome, c.by) // undoing it once more would do no harm
	c.rec.Undone = append(c.rec.Undone, Undone{Name: i.Name, Says: i.Says, Outcome: outcome, Error: text(err)})
	if outcome == timeline.RevertFailed {
		return fmt.Errorf("%s (%s): %w", i.Name, i.Says, err)
	}
	return nil
}

func (c *closing) end(dir string) {
	if c.log == nil {
		return
	}
	verdict := "clean"
	if len(c.left) > 0 {
		verdict = "dirty"
	}
	_ = closeRecord(c.log, dir, timeline.CleanedUp{Verdict: verdict, Leftovers: c.left}, true)
}

// recoverEarlier puts back what earlier runs on a topology left.
func recoverEarlier(ctx context.Context, o Options, topologyName string) error {
	left, err := Journals(o.Home, topologyName)
	if err != nil {
		return err
	}
	for _, s := range left {
		rec, err := Recover(ctx, o.Home, s.Path, o.Plugins, "the next run", false)
		if o.Recovered != nil && rec.RunID != "" {
			o.Recovered(rec)
		}
		if err != nil {
			return fmt.Errorf("recover run %s: %w", s.Header.RunID, err)
		}
	}
	return nil
}
