package lab_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/lab"
	"firedrill/lab/vendor"
)

// expect is what the client may have seen, by the tries that the gateway made.
func (l *matrix) expect(c *cell, tries []try) []seen {
	if len(tries) == 0 {
		all := l.silent(c)
		if c.mode == vendor.BlackHole {
			all = append(all, try{mode: c.mode}.passed(c.q))
		}
		return all
	}
	last := tries[len(tries)-1]
	switch {
	case last.left && last.status != 0: // amid the answer, perhaps
		return append(l.silent(c), seen{timeline.Failed, timeline.Reset, last.status, last.names})
	case last.mode == vendor.Reset, last.left:
		return l.silent(c)
	case l.own != nil && !last.whole:
		if s := l.own(last, c.q); s != nil {
			return []seen{*s}
		}
	}
	all := []seen{last.passed(c.q)}
	if c.mode == dnsMode && len(l.silent(c)) > 0 { // HAProxy cuts what is under way to a name that is gone
		all = append(all, seen{timeline.Failed, timeline.Reset, last.status, last.names})
	}
	return all
}

// judge compares what a probe said of a request with the tries, "" if they agree.
func (l *matrix) judge(c *cell, r request, tries []try) string {
	q := r.Request
	if len(tries) == 0 && !c.quiet(r) {
		return "no vendor was asked"
	}
	if p := l.order(c, r, tries); p != "" {
		return p
	}
	is := seen{q.Outcome, r.Class, q.Status, r.By}
	may := l.expect(c, tries)
	if !slices.Contains(may, is) {
		return fmt.Sprintf("%s: want %v", is, may)
	}
	if len(tries) == 0 {
		return ""
	}
	last := tries[len(tries)-1]
	switch {
	case q.Outcome == timeline.Whole && (q.In != int64(last.in) || q.Out != int64(last.out)):
		return fmt.Sprintf("%d tokens in and %d out, want %d and %d", q.In, q.Out, last.in, last.out)
	case q.Outcome == timeline.Cut && last.mode == vendor.Cut && !strings.Contains(r.Detail, fmt.Sprintf("after %d pieces", last.out)):
		return fmt.Sprintf("%q: want %d pieces", r.Detail, last.out)
	case q.First != 0 && !last.first.IsZero() && r.firstAt().Before(last.first.Add(-clocks)):
		return fmt.Sprintf("the first token was seen at %s, before it was sent at %s", r.firstAt(), last.first)
	}
	return ""
}

// clocks is by how much the wall clock, which the vendors' log has, may have been
// moved against the monotonic one since the probe was opened.
const clocks = 50 * time.Millisecond

// firstAt is when the first token was there.
func (r request) firstAt() time.Time { return r.clock.Time(r.Request.First).Round(0) }

// quiet tells whether tries of a request may be in no log: nothing of them got as far
// as to who keeps it.
func (c *cell) quiet(r request) bool {
	return r.amid && (c.mode == vendor.Refused || c.wire != nil && slices.Contains(mute, c.mode))
}

// order tells what is wrong with whom the gateway asked, "" if nothing is.
func (l *matrix) order(c *cell, r request, tries []try) string {
	quiet := c.quiet(r)
	place := func(y try) int {
		return slices.IndexFunc(l.Members, func(m lab.MemberStatus) bool { return m.Name == y.vendor })
	}
	for i, y := range tries {
		if i == 0 {
			if place(y) != 0 && !l.inTurn && !quiet && !c.skips {
				return "the first vendor was not asked first"
			}
			continue
		}
		before := tries[i-1]
		further, want := place(y)-place(before), 0
		if l.elsewhere {
			want = 1
		}
		switch {
		case !l.onward(before):
			return fmt.Sprintf("it was asked again after %+v", before)
		case before.left && further == 1: // the vendor was taken out
		case further != want:
			return fmt.Sprintf("%s was asked after %s", y.vendor, before.vendor)
		}
	}
	switch n := len(tries); {
	case n > l.tries:
		return fmt.Sprintf("%d tries", n)
	case n > 0 && n < l.tries && l.onward(tries[n-1]) && !quiet && r.Request.Outcome != timeline.Unanswered:
		return fmt.Sprintf("nobody was asked after %+v", tries[n-1])
	}
	return ""
}

// vendorLogs are the logs of all vendors by the requests' ids, each in order.
func (l *matrix) vendorLogs(t *testing.T) map[string][]vendor.Entry {
	all := map[string][]vendor.Entry{}
	for i := range l.Members {
		es, err := l.admin(i).Log(t.Context())
		require.NoError(t, err)
		for _, e := range es {
			all[e.ID] = append(all[e.ID], e)
		}
	}
	for _, es := range all {
		slices.SortStableFunc(es, func(a, b vendor.Entry) int { return a.From.Compare(b.From) })
	}
	return all
}

// judgeVendors holds every request of the vendors' own modes against their logs.
func (l *matrix) judgeVendors(t *testing.T) {
	logs := l.vendorLogs(t)
	l.asked(func(c *cell, r request) {
		if c.wire != nil {
			return
		}
		var tries []try
		for _, e := range logs[r.Request.ID] {
			tries = append(tries, tryOf(e))
		}
		assert.Empty(t, l.verdict(c, r, tries), "%s: %s client, request %s: %s\n%+v", c.name, r.client, r.Request.ID, r.Detail, tries)
	})
	known := map[string]bool{"": true, "firedrill-lab": true} // health checks, and lab up's own questions
	for n := range l.settled {
		known[fmt.Sprint("settle-", n+1)] = true
	}
	l.asked(func(_ *cell, r request) { known[r.Request.ID] = true })
	for id, es := range logs {
		assert.True(t, known[id], "nobody asked %+v", es)
	}
}

// verdict judges a request by what its tries were when the client had its answer, or
// went away. Later a gateway may only go on asking for a client that waited in vain,
// or ask what it takes back at once.
func (l *matrix) verdict(c *cell, r request, tries []try) string {
	late := func(y try) bool { return y.from.After(r.left) }
	for _, y := range tries {
		if late(y) && !y.left && r.Request.Outcome != timeline.Unanswered {
			return fmt.Sprintf("asked again after the client was answered: %+v", y)
		}
	}
	tries = slices.DeleteFunc(slices.Clone(tries), late)
	if r.amid {
		c.note(r, tries)
	}
	return l.judge(c, r, tries)
}

// note keeps what came of a request that the failing vendor got, or would have got.
func (c *cell) note(r request, tries []try) {
	hit := len(tries) == 0 || tries[0].mode == c.mode
	if !hit && !(slices.Contains(mute, c.mode) && !c.l.inTurn) {
		return
	}
	by := r.By
	if by == "" {
		by = "nobody"
	}
	if came := fmt.Sprintf("%s by %s", r.Request.Outcome, by); !slices.Contains(c.came, came) {
		c.came = append(c.came, came)
	}
}
