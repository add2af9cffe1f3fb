package reports

import (
	"fmt"
	"strings"

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
	state := map[string]string{"good": "good", "no-data": "no data"}[b.State]
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
