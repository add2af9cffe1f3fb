package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/timeline"
	"firedrill/drills/topology/route"
	"firedrill/drills/verdict"
	"firedrill/lab"
	"firedrill/lab/vendor"
)

// One self-hosted instance after the other is killed. Requests fail until HAProxy's
// health check takes it out, and no longer; what firedrill measures is what the
// kernel, HAProxy and the instances themselves say.
func TestSelfHostedInstancesAreKilled(t *testing.T) {
	l := served(t, "llm-selfhosted")
	for _, m := range l.now.Members {
		t.Run(m.Name, func(t *testing.T) {
			l.look(t)
			watch := l.watch(t, l.member(t, m.Name))
			a := l.drills(t, brief(t, "llm-instance-loss", `role: any\n +count: \$\{count\}`, "member: "+m.Name, `every: 100ms`, "every: 50ms"))
			truth := watch()
			a.entries = nil
			for _, m := range l.now.Members { // the one that was killed has a log of its own since then
				a.add(requestsLog(t, m))
			}
			a.agrees(t)
			truth.alive = a.last(t, m.Name)
			assert.Equal(t, "topology", a.Recovery.By, a.out.stderr)
			assert.Equal(t, verdict.Met, a.objective(t, "rto").Verdict)
			a.killed(t, m.Name, truth)
			a.returned(t, m.Name)
			t.Logf("%s Killed within 0 and %.3f s, DOWN within [%.3f, %.3f] s, recovery within [%.3f, %.3f] s, %d requests failed", a.Sentence,
				truth.dead.Sub(truth.alive).Seconds(), truth.up.Sub(truth.alive).Seconds(), truth.down.Sub(truth.alive).Seconds(),
				a.objective(t, "rto").Actual.Lo, *a.objective(t, "rto").Actual.Hi, a.Requests[0].Failed)
			l.whole(t)
		})
	}
}

// last is when an instance ended the last answer before the drill began to put things
// back: it was alive until then.
func (a *account) last(t *testing.T, member string) (at time.Time) {
	t.Helper()
	_, reverting := event[timeline.Reverting](t, a)
	for _, e := range a.entries {
		if e.Vendor == member && e.Complete && e.From.Before(reverting) && e.To.After(at) {
			at = e.To
		}
	}
	require.False(t, at.IsZero(), "%s answered nothing", member)
	return at
}

// killed compares what was measured with what happened.
func (a *account) killed(t *testing.T, member string, truth watched) {
	t.Helper()
	at := a.Faults[0].Effective
	require.NotNil(t, at)
	assert.False(t, at.Hi.Before(truth.alive), "it was alive until %s", truth.alive)
	assert.False(t, at.Lo.After(truth.dead), "it was dead at %s", truth.dead)
	_, reverting := event[timeline.Reverting](t, a)
	bad := 0
	for id, s := range a.asked {
		if !s.Class.Bad() || !a.at(s.Start).Before(reverting) {
			continue
		}
		bad++
		assert.False(t, a.at(s.End).Before(truth.alive), "%s failed before the instance was killed", id)
		assert.False(t, a.at(s.Start).After(truth.down), "%s failed after HAProxy had taken the instance out", id)
		for _, e := range a.entries {
			assert.False(t, e.ID == id && e.Complete, "%s is said to have failed; %s answered it in full", id, e.Vendor)
		}
	}
	assert.Positive(t, bad, "two health checks must fail before it is taken out")
	for _, p := range a.Probes {
		for _, o := range p.Outages {
			if o.Start.Lo.After(reverting) {
				continue
			}
			assert.False(t, o.Start.Hi.Before(truth.alive), "%s began before the instance was killed", p.Name)
			assert.False(t, o.End.Lo.After(truth.down), "%s lasted longer than HAProxy asked the dead", p.Name)
		}
	}
	assert.LessOrEqual(t, a.objective(t, "rto").Actual.Lo, truth.down.Sub(truth.alive).Seconds())
}

// returned compares the time until all instances answered again with their own logs.
func (a *account) returned(t *testing.T, member string) {
	t.Helper()
	_, reverting := event[timeline.Reverting](t, a)
	i := slices.IndexFunc(a.entries, func(e vendor.Entry) bool { return e.Vendor == member && e.From.After(reverting) })
	require.GreaterOrEqual(t, i, 0, "it is asked again")
	truth := a.entries[i].From.Sub(reverting).Seconds()
	back := a.Requests[0].FailBack
	require.NotNil(t, back)
	require.NotNil(t, back.Hi)
	assert.GreaterOrEqual(t, *back.Hi, truth)
	assert.LessOrEqual(t, back.Lo, truth)
	assert.Equal(t, verdict.Met, a.objective(t, "fail-back").Verdict)
	t.Logf("asked again %.3f s after the revert began, measured [%.3f, %.3f] s", truth, back.Lo, *back.Hi)
}

// watched is what was seen of an instance from outside.
type watched struct {
	// alive is when it ended its last answer, dead when its process was seen to be gone.
	alive, dead time.Time
	// up is when HAProxy was last seen to ask it, down when it first was seen not to.
	up, down time.Time
}

// watch looks at an instance's process and at HAProxy's state every few milliseconds;
// what it returns ends that.
func (l *modelLab) watch(t *testing.T, m lab.MemberStatus) func() watched {
	t.Helper()
	fd, err := unix.PidfdOpen(m.PID, 0)
	require.NoError(t, err)
	var with route.HAProxySpec
	require.NoError(t, json.Unmarshal(l.c.Routes[0].Spec.With, &with))
	w, end := watched{}, make(chan struct{})
	var all sync.WaitGroup
	every := func(d time.Duration, look func() (over bool)) {
		all.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for !look() {
				select {
				case <-end:
					return
				case <-tick.C:
				}
			}
		})
	}
	every(2*time.Millisecond, func() bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		w.dead = time.Now()
		return n > 0
	})
	every(10*time.Millisecond, func() bool {
		from := time.Now()
		switch state, err := serverState(with, m.Name); {
		case err != nil:
			t.Error(err)
			return true
		case strings.HasPrefix(state, "UP"):
			w.up = from
			return false
		}
		w.down = time.Now()
		return true
	})
	return func() watched {
		close(end)
		all.Wait()
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		unix.Close(fd)
		require.Positive(t, n, "it was not killed")
		require.False(t, w.down.IsZero(), "HAProxy did not take it out")
		return w
	}
}

// serverState is a server's status in HAProxy's statistics (management guide, 9.1).
func serverState(with route.HAProxySpec, server string) (string, error) {
	c, err := net.DialTimeout("unix", with.Socket, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte("show stat " + with.Backend + " 4 -1\n")); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if f := strings.Split(lines.Text(), ","); len(f) > 17 && f[1] == server {
			return f[17], nil
		}
	}
	return "", lines.Err()
}

// requestsLog is the log that an instance keeps in a file.
func requestsLog(t *testing.T, m lab.MemberStatus) (all []vendor.Entry) {
	t.Helper()
	f, err := os.Open(filepath.Join(m.Dir, "requests.log"))
	require.NoError(t, err)
	defer f.Close()
	for d := json.NewDecoder(f); d.More(); {
		var e vendor.Entry
		require.NoError(t, d.Decode(&e))
		all = append(all, e)
	}
	return slices.Clip(all)
}
