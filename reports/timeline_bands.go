package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// bandsDrawn bounds the bands of all lanes together.
const bandsDrawn = 900

// flapping is the class of outages that are drawn as one.
const flapping = "flapping"

// coarse joins outages that are close together until no more than limit bands are
// left: a flapping service is drawn as what it looks like from afar. Only for
// drawing; tables and verdict keep every outage apart.
func coarse(bands []verdict.Band, whole float64, limit int) []verdict.Band {
	out := bands
	for gap := whole / 4096; len(out) > limit && gap < 2*whole; gap *= 2 {
		out = join(bands, gap)
	}
	return out
}

// join makes one band of all bad ones that are no further than gap apart, and
// leaves out what is between them. Bands without data are kept while they are
// longer than the gap.
func join(bands []verdict.Band, gap float64) []verdict.Band {
	var out []verdict.Band
	bad := -1 // where the bad band that is being joined is in out
	for _, b := range bands {
		switch {
		case b.State == "bad" && bad >= 0 && b.From-out[bad].To <= gap:
			j := &out[bad]
			j.Class = flapping
			j.To, j.ToWidth = b.To, b.ToWidth
			out = out[:bad+1]
			continue
		case b.State == "bad":
			bad = len(out)
		case b.To-b.From <= gap && b.State != "good":
			continue
		}
		out = append(out, b)
	}
	return out
}

func bandText(b verdict.Band) string {
	state := map[string]string{"good": "good", "no-data": "no data", partial: "partial outage, " + b.Class + ","}[b.State]
	if state == "" {
		state = strings.TrimSuffix("bad, mostly "+b.Class, ", mostly ")
	}
	if b.Class == flapping {
		state = "flapping, outages close together are drawn as one,"
	}
	t := state + " " + stretchText(b.From, b.To)
	if w := b.FromWidth + b.ToWidth; w > 0 {
		t += ", edges uncertain by " + si.Duration(b.FromWidth) + " and " + si.Duration(b.ToWidth)
	}
	return t
}

// partial is the state of a band in which some requests failed and others did not.
const partial = "partial"

// withPartial draws each partial outage as one band, in place of the many short
// ones that it is made of.
func withPartial(bands []verdict.Band, stretches []verdict.PartialResult, z time.Time) []verdict.Band {
	for _, s := range stretches {
		from, to := since(z, s.Start.Lo), since(z, s.End.Lo)
		if s.End.Hi != nil {
			to = since(z, *s.End.Hi)
		}
		one := verdict.Band{State: partial, Class: si.Percent(s.Share) + " failed", From: from, To: to}
		var out []verdict.Band
		for _, b := range bands {
			switch {
			case b.State == "no-data" || b.To <= from || b.From >= to:
				out = append(out, b)
			case b.From < from: // a good stretch before it
				b.To, b.ToWidth = from, 0
				out = append(out, b)
			case b.To > to:
				b.From, b.FromWidth = to, 0
				out = append(out, b)
			}
		}
		bands = append(out, one)
	}
	slices.SortStableFunc(bands, func(a, b verdict.Band) int { return cmp.Compare(a.From, b.From) })
	return bands
}

// bandsTold is how many stretches a lane's text names one by one.
const bandsTold = 10

// bandsText says a lane in words.
func bandsText(bands []verdict.Band) string {
	var told []string
	left := 0
	for _, b := range bands {
		switch {
		case b.State == "good" && len(bands) > bandsTold:
		case len(told) >= bandsTold:
			left++
		default:
			told = append(told, bandText(b))
		}
	}
	text := strings.Join(told, "; ") + "."
	if left > 0 {
		text += fmt.Sprintf(" And %s more.", counted(left, "stretch"))
	}
	return text
}
