package live_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/cmd/firedrill/live"
	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/reports/tty"
)

var (
	plan = timeline.Plan{Scenario: "mysql-primary-loss", Topology: "orders-lab", Series: []timeline.Series{{Writes: true}}}
	wall = time.Date(2026, 2, 14, 9, 12, 33, 301e6, time.UTC)
)

func term(width, height int) func() tty.Screen {
	return func() tty.Screen { return tty.Screen{Terminal: true, Width: width, Height: height} }
}

func snapshot(series int) drills.Snapshot {
	since := 8400 * time.Millisecond
	s := drills.Snapshot{
		Scenario: "mysql-primary-loss", Phase: "heal", Elapsed: 42 * time.Second, SinceFault: &since, Target: 5 * time.Minute,
		Acked: 48211, AckedPerSecond: 613.7, Next: "past 15 s without healing: promote-replica on orders-db",
		Faults: []drills.FaultLive{{Name: "primary-loss", Kind: "process-kill", Members: []string{"db-1"}, TTL: 552 * time.Second}},
	}
	for i := range series {
		l := drills.SeriesLive{Name: fmt.Sprintf("orders-write-%02d/pooled", i), State: "good", Since: 20 * time.Second, LastClass: "ok", Spark: bytes.Repeat([]byte{1}, 60)}
		if i%5 == 0 {
			l.State, l.Since, l.LastClass = "bad", 8*time.Second, "refused"
			l.LastDetail = "dial tcp 127.0.11.1:3306: connect: connection refused, and a long story besides"
			l.Spark = append(bytes.Repeat([]byte{1}, 51), 2, 3, 3, 3, 3, 3, 3, 3, 3)
		}
		s.Series = append(s.Series, l)
	}
	return s
}

func TestFrameFits(t *testing.T) {
	for _, c := range []struct{ width, height, series int }{{80, 24, 4}, {80, 24, 24}, {60, 12, 24}, {200, 50, 24}, {40, 8, 3}, {80, 24, 0}} {
		lines := live.Frame(plan, snapshot(c.series), tty.Screen{Terminal: true, Width: c.width, Height: c.height})
		assert.Less(t, len(lines), c.height, "%+v", c)
		for _, l := range lines {
			assert.Less(t, utf8.RuneCountInString(l), c.width, "%+v: %s", c, l)
		}
	}
}

func TestFrame(t *testing.T) {
	got := strings.Join(live.Frame(plan, snapshot(3), tty.Screen{Width: 100, Height: 24}), "\n")
	assert.Equal(t, strings.Join([]string{
		"heal        42 s   since the fault 8 s of 5 min  [--------------------]",
		"orders-write-00/poo…  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▄████  BAD 8s        refused: dial tcp 127.0.11.1:3…",
		"orders-write-01/poo…  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  good 20s      ",
		"orders-write-02/poo…  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  good 20s      ",
		"writes      48,211 acknowledged, 614/s",
		"fault       primary-loss on db-1, undone within 9m12s (process-kill)",
		"next        past 15 s without healing: promote-replica on orders-db",
		"            Ctrl-C stops the drill and puts everything back",
	}, "\n"), got)
}

// A drill on models writes nothing; what matters there is who answers.
func TestFrameSaysWhoAnswers(t *testing.T) {
	s := drills.Snapshot{Phase: "heal", Elapsed: 12 * time.Second, Series: []drills.SeriesLive{
		{Name: "chat/fresh", State: "good", Since: 4 * time.Second, LastClass: "ok", By: "vendor-b"},
		{Name: "embedding/fresh", State: "good", Since: 9 * time.Second, LastClass: "error", LastDetail: "503", By: "vendor-a"},
		{Name: "rerank/fresh", State: "bad", Since: 3 * time.Second, LastClass: "timeout", By: "vendor-a\x1b"},
	}}
	got := live.Frame(timeline.Plan{Series: []timeline.Series{{Op: "chat"}}}, s, tty.Screen{Width: 100, Height: 24})
	require.Len(t, got, 5, "no line of writes")
	assert.Regexp(t, `good 4s +by vendor-b$`, got[1])
	assert.Regexp(t, `good 9s +by vendor-a; error: 503$`, got[2])
	assert.Regexp(t, `BAD 3s +timeout$`, got[3], "nobody answers now")
}

func TestFrameHidesGoodOnesFirst(t *testing.T) {
	got := strings.Join(live.Frame(plan, snapshot(24), tty.Screen{Width: 80, Height: 15}), "\n")
	for _, i := range []int{0, 5, 10, 15, 20} {
		assert.Contains(t, got, fmt.Sprintf("orders-write-%02d/", i))
	}
	assert.Contains(t, got, "and 16 more, all good")
	got = strings.Join(live.Frame(plan, snapshot(24), tty.Screen{Width: 80, Height: 10}), "\n")
	assert.Contains(t, got, "not good")
}

func TestColourOnlyWhenWanted(t *testing.T) {
	assert.NotContains(t, strings.Join(live.Frame(plan, snapshot(3), tty.Screen{Width: 80, Height: 24}), ""), "\x1b")
	assert.Contains(t, strings.Join(live.Frame(plan, snapshot(3), tty.Screen{Width: 80, Height: 24, Colour: true}), ""), "\x1b[1;31m")
}

// What a terminal shows after all the redrawing, by a small model of one.
func TestRedrawnInPlace(t *testing.T) {
	var b bytes.Buffer
	v := live.NewOn(&b, plan, term(80, 24))
	v.Snapshot(snapshot(5))
	v.Snapshot(snapshot(2))
	v.Event(timeline.Offset(3*time.Second), wall, timeline.Confirmed{Fault: "primary-loss", By: "pid 4711 is gone"})
	v.Event(timeline.Offset(3*time.Second), wall, timeline.Journaled{Intent: "1", Kind: "fault", For: "primary-loss"})
	v.Snapshot(snapshot(1))
	got := screen(t, b.String())
	require.Len(t, got, 8)
	assert.Equal(t, "mysql-primary-loss on orders-lab", got[0])
	assert.Contains(t, got[1], "confirmed       primary-loss: pid 4711 is gone")
	assert.Contains(t, got[2], "since the fault")
	assert.Contains(t, got[3], "orders-write-00")
	assert.Contains(t, got[4], "writes")

	v.Close()
	v.Close()
	v.Snapshot(snapshot(1))
	v.Event(0, wall, timeline.Caveat{Text: "too late"})
	assert.Len(t, screen(t, b.String()), 2, "the block is gone, what happened stays")
}

// screen interprets what the view writes: lines, cursor up, erase.
func screen(t *testing.T, out string) []string {
	t.Helper()
	var lines []string
	at := 0
	codes := regexp.MustCompile(`^\x1b\[(\d*)([AKJ])`)
	line := ""
	for out != "" {
		if m := codes.FindStringSubmatch(out); m != nil {
			out = out[len(m[0]):]
			switch m[2] {
			case "A":
				var n int
				fmt.Sscan(m[1], &n)
				at -= n
				require.GreaterOrEqual(t, at, 0)
			case "J":
				lines = lines[:min(at, len(lines))]
			}
			continue
		}
		switch r, n := utf8.DecodeRuneInString(out); r {
		case '\n':
			lines = append(lines[:at], append([]string{line}, lines[min(at+1, len(lines)):]...)...)
			at++
			line, out = "", out[n:]
		case '\r':
			line, out = "", out[n:]
		default:
			require.NotEqual(t, '\x1b', r)
			line, out = line+string(r), out[n:]
		}
	}
	return lines
}

func TestPlainLines(t *testing.T) {
	var b bytes.Buffer
	v := live.New(&b, plan)
	v.Snapshot(snapshot(3))
	v.Event(timeline.Offset(12345*time.Millisecond), wall, timeline.PhaseBegan{Phase: "baseline"})
	v.Event(timeline.Offset(13*time.Second), wall.Add(time.Second), timeline.Injected{Fault: "primary-loss", Err: "no such\nprocess \x1b[31m"})
	v.Close()
	assert.Equal(t, "2026-02-14T09:12:33.301Z +12.345s phase-began baseline\n"+
		"2026-02-14T09:12:34.301Z +13.000s injected primary-loss FAILED: no such process  [31m\n", b.String())
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("closed pipe") }

func TestBrokenWriterIsNobodysProblem(t *testing.T) {
	v := live.NewOn(broken{}, plan, term(80, 24))
	v.Snapshot(snapshot(3))
	v.Event(0, wall, timeline.Healed{By: "runner"})
	v.Close()
}
