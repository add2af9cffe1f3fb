package vantage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// beat tells the agent again and again what is wanted of it.
func (a *Agent) beat(ctx context.Context, out io.Writer, first bool) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		b := a.next(n == 0 && !first)
		text := encode(b)
		switch {
		case n == 0 && first:
			text = encode(beat{Order: &a.order})
		case n == 0:
			text = append([]byte("\n"), text...) // ends what another connection may have left
		}
		a.sending(b.N)
		if _, err := out.Write(text); err != nil {
			return fmt.Errorf("write to the agent: %w", err)
		}
		wait := beatEvery
		if n < quickBeats || !a.isReady() {
			wait = quickly
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.kick:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next is the next beat.
func (a *Agent) next(again bool) beat {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beats++
	b := beat{N: a.beats, Have: a.have, Again: again || a.again, Do: a.do, Off: slices.Clone(a.off)}
	a.again = false
	return b
}

// sending notes that a beat is sent just now.
func (a *Agent) sending(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent[n] = a.clock.Now()
	delete(a.sent, n-1000) // it will not be answered any more
}

// want makes the agent do something from now on.
func (a *Agent) want(do string) {
	a.mu.Lock()
	a.do = do
	a.mu.Unlock()
	a.hurry()
}

func (a *Agent) hurry() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// listen takes what the agent says until the connection ends. What is no line is
// passed over: a connection may begin in the middle of one.
func (a *Agent) listen(in io.Reader, silent *time.Timer) error {
	s := lines(in)
	for s.Scan() {
		at := a.clock.Now()
		silent.Reset(silence)
		var l line
		if json.Unmarshal(s.Bytes(), &l) != nil {
			continue
		}
		if err := a.take(l, at); err != nil {
			return err
		}
	}
	return cmp.Or(s.Err(), io.EOF)
}

// take takes a line that was there at a moment.
func (a *Agent) take(l line, at timeline.Offset) error {
	a.mu.Lock()
	a.heard = at
	if l.Pong != nil {
		strayed := a.answered(*l.Pong, at)
		a.mu.Unlock()
		return a.strayed(strayed)
	}
	if l.N != a.have+1 {
		if l.N > a.have+1 && (a.asked == 0 || at-a.asked > timeline.Offset(againEvery)) {
			a.again, a.asked = true, at
		}
		again := a.again
		a.mu.Unlock()
		if again {
			a.hurry()
		}
		return nil // it is here already, or will come once more
	}
	a.have = l.N
	a.mu.Unlock()
	return a.got(l, at)
}

// got takes a line that was not here before.
func (a *Agent) got(l line, at timeline.Offset) error {
	switch {
	case l.Ready != nil:
		a.mu.Lock()
		a.Ready, a.stands = *l.Ready, true
		a.mu.Unlock()
	case l.Failed != nil:
		return fmt.Errorf("%w: %s", errFailed, *l.Failed)
	case l.Sample != nil:
		a.mu.Lock()
		s := a.relation.Sample(*l.Sample, at)
		a.worst = max(a.worst, s.Error)
		a.late.add(time.Duration(at - s.End + s.Error))
		a.mu.Unlock()
		if of := a.series[s.Series]; of != nil {
			of.add(s)
		}
	case l.Gap != nil:
		a.mu.Lock()
		g := a.relation.Gap(*l.Gap)
		a.mu.Unlock()
		g.Of = a.name
		if a.ev.Gap != nil {
			a.ev.Gap(g)
		}
	case l.Done != nil:
		if of := a.series[*l.Done]; of != nil {
			of.end()
		}
	}
	return nil
}

// answered takes the answer to a beat, and tells by how much it contradicts what was
// known of the clock.
func (a *Agent) answered(p pong, at timeline.Offset) (strayed time.Duration) {
	if p.First > a.have+1 {
		a.have = p.First - 1 // the agent has dropped those
	}
	before, ok := a.sent[p.N]
	if !ok {
		return 0
	}
	delete(a.sent, p.N)
	a.relation.After(before, p.Heard)
	a.relation.Before(p.Said, at)
	a.latest = p.Said
	strayed = a.relation.Strayed(p.Said)
	if a.pongs++; a.stands && a.pongs >= quickBeats/2 && !a.isReady() {
		close(a.ready)
	}
	return strayed
}

// strayed tells of a clock that contradicts what was known of it.
func (a *Agent) strayed(by time.Duration) error {
	switch {
	case by == 0:
		return nil
	case by > tooFar:
		return fmt.Errorf("%w: its clock jumped by %s", errFailed, by.Round(time.Millisecond))
	}
	a.tellClock(by)
	return nil
}

// tellClock tells how well the agent's clock is known.
func (a *Agent) tellClock(strayed time.Duration) {
	if a.ev.Clock == nil {
		return
	}
	c := a.Clock()
	c.Strayed = strayed
	a.ev.Clock(c)
}

// Clock says how well the agent's clock is known: as well as for the worst of the
// samples so far, or else now.
func (a *Agent) Clock() timeline.ClockRelated {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, _ := a.relation.At(a.latest)
	c := timeline.ClockRelated{From: a.name, Ahead: (i.Lo+i.Hi)/2 - a.latest, Error: i.Width() / 2, Late: a.late.quantile(0.99)}
	if a.worst > 0 {
		c.Error = time.Duration(a.worst)
	}
	return c
}
