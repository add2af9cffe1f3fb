package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/si"
	"firedrill/drills/timeline"
	"firedrill/reports/tty"
)

// besides is how many lines a frame has beside those of the series and faults.
const besides = 5

// Frame returns the lines of a snapshot of a drill by that plan; none is longer than
// the screen is wide, and they are fewer than the screen is high.
func Frame(p timeline.Plan, n drills.Snapshot, s tty.Screen) []string {
	width := max(s.Width-1, 20)
	head := fmt.Sprintf("%s  %s", pad(n.Phase, 10), whole(n.Elapsed))
	if n.SinceFault != nil {
		head += "   since the fault " + whole(*n.SinceFault)
		if n.Target > 0 {
			head += " of " + si.Duration(n.Target.Seconds()) + "  " + gauge(*n.SinceFault, n.Target)
		}
	}
	lines := []string{cut(head, width)}
	shown, hidden := choose(n.Series, max(s.Height-besides-len(n.Faults)-1, 1))
	for _, l := range shown {
		lines = append(lines, seriesLine(l, width, s.Colour))
	}
	if hidden != "" {
		lines = append(lines, cut("  "+hidden, width))
	}
	if slices.ContainsFunc(p.Series, func(s timeline.Series) bool { return s.Writes }) {
		lines = append(lines, cut(fmt.Sprintf("writes      %s acknowledged, %s/s", si.Count(n.Acked), si.Count(int(n.AckedPerSecond+0.5))), width))
	}
	for _, f := range n.Faults {
		lines = append(lines, cut(fmt.Sprintf("fault       %s on %s, undone within %s (%s)",
			tty.Plain(f.Name), tty.Plain(strings.Join(f.Members, ", ")), short(f.TTL), tty.Plain(f.Kind)), width))
	}
	if n.Next != "" {
		lines = append(lines, cut("next        "+tty.Plain(n.Next), width))
	}
	return append(lines, cut("            Ctrl-C stops the drill and puts everything back", width))
}

// choose keeps the order of the series, so that lines stay where they are. If not
// all fit, those that are good give way first.
func choose(all []drills.SeriesLive, room int) (shown []drills.SeriesLive, hidden string) {
	if len(all) <= room {
		return all, ""
	}
	troubled := 0
	for _, l := range all {
		if l.State != "good" {
			troubled++
		}
	}
	good := max(room-troubled, 0)
	left := 0
	for _, l := range all {
		switch {
		case l.State != "good" && len(shown) < room:
		case l.State == "good" && good > 0:
			good--
		default:
			left++
			continue
		}
		shown = append(shown, l)
	}
	if hidden = fmt.Sprintf("and %d more, all good", left); troubled > room {
		hidden = fmt.Sprintf("and %d more, %d of them not good", left, troubled-room)
	}
	return shown, hidden
}

// seriesLine is a name, the last minute, the state, who answers, and the last
// failure.
func seriesLine(l drills.SeriesLive, width int, colour bool) string {
	const state = 14
	name, cols := min(20, width-state-2), 30
	if width >= 130 {
		name, cols = 32, 60
	}
	cols = min(cols, max(width-name-state-4, 0))
	word := map[string]string{"good": "good", "bad": "BAD"}[l.State]
	if word == "" {
		word = "no data"
	}
	tail := tty.Plain(latest(l))
	text := fmt.Sprintf("%s  ", pad(tty.Plain(l.Name), name))
	status := pad(word+" "+short(l.Since), state)
	tail = cut(tail, max(width-name-cols-state-4, 0))
	if colour {
		status = stateColour(l.State, status)
	}
	return text + spark(l.Spark, cols, colour) + "  " + status + tail
}

// latest says who answers, while somebody does, and what the last failure was if the
// last sample failed.
func latest(l drills.SeriesLive) string {
	var parts []string
	if l.State == "good" && l.By != "" {
		parts = append(parts, "by "+l.By)
	}
	if l.LastClass != "" && l.LastClass != "ok" {
		parts = append(parts, strings.TrimSuffix(l.LastClass+": "+l.LastDetail, ": "))
	}
	return strings.Join(parts, "; ")
}

// gauge is the time since the fault against its target.
func gauge(since, target time.Duration) string {
	const cols = 20
	n := min(int(cols*since/target), cols)
	if since > target {
		return "[" + strings.Repeat("#", cols) + "] past the target"
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat("-", cols-n) + "]"
}

// whole writes a duration in whole seconds.
func whole(d time.Duration) string { return si.Duration(d.Truncate(time.Second).Seconds()) }

// short writes a duration in at most five characters: "42s", "3m12s", "1h05m".
func short(d time.Duration) string {
	switch s := int(d.Seconds()); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	default:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
}
