// Package live shows a drill while it runs: a few lines that are redrawn in place
// on a terminal, and one line per event everywhere else.
package live

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/reports/tty"
)

// View is a drills.Watcher. A write that fails is not reported: whoever stopped
// looking does not stop the drill.
type View struct {
	w      io.Writer
	plan   timeline.Plan
	screen func() tty.Screen

	mu     sync.Mutex
	last   *drills.Snapshot
	drawn  int // lines of the block on the screen
	closed bool
}

var _ drills.Watcher = (*View)(nil)

// New shows a drill on w, as w allows. Close it at the end.
func New(w io.Writer, p timeline.Plan) *View {
	return NewOn(w, p, func() tty.Screen { return tty.Of(w) })
}

// NewOn is New for a screen that the caller knows; it is asked before each drawing.
func NewOn(w io.Writer, p timeline.Plan, screen func() tty.Screen) *View {
	v := &View{w: w, plan: p, screen: screen}
	if screen().Terminal {
		v.write(fmt.Appendf(nil, "%s on %s\n", tty.Plain(p.Scenario), tty.Plain(p.Topology)))
	}
	return v
}

// Event writes an event: above the block on a terminal if it says something new
// to a person, and as a line of its own elsewhere.
func (v *View) Event(at timeline.Offset, wall time.Time, payload any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || !telling(payload) {
		return
	}
	words := Words(payload)
	s := v.screen()
	if !s.Terminal {
		v.write(fmt.Appendf(nil, "%s +%.3fs %s %s\n", wall.UTC().Format("2006-01-02T15:04:05.000Z07:00"), at.Seconds(), timeline.EventType(payload), words))
		return
	}
	if !salient(payload) {
		return
	}
	// A line that stays may wrap: only those that are redrawn are counted.
	line := wall.Local().Format("15:04:05") + "  " + pad(timeline.EventType(payload), 14) + "  " + words
	if s.Colour && grave(payload) {
		line = red(line)
	}
	v.draw(s, line)
}

// Snapshot redraws the block. Without a terminal it does nothing.
func (v *View) Snapshot(now drills.Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.screen()
	if v.closed || !s.Terminal {
		return
	}
	v.last = &now
	v.draw(s, "")
}

// Close removes the block; what comes next begins on a line of its own.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed, v.last = true, nil
	if v.drawn > 0 {
		v.draw(v.screen(), "")
	}
}

// draw replaces the block by a line that stays, if any, and the block anew. It is
// one write: a terminal never shows half of it.
func (v *View) draw(s tty.Screen, stays string) {
	var b bytes.Buffer
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r")
	if stays != "" {
		b.WriteString(stays + "\x1b[K\n")
	}
	v.drawn = 0
	if v.last != nil {
		for _, line := range Frame(v.plan, *v.last, s) {
			b.WriteString(line + "\x1b[K\n")
			v.drawn++
		}
	}
	b.WriteString("\x1b[J")
	v.write(b.Bytes())
}

func (v *View) write(b []byte) { _, _ = v.w.Write(b) }
