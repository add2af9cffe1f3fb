package reports

import (
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// plotWidth is the width, in pixels, for which the server lays out text in the
// picture; the page's script does it again for the real width.
const plotWidth = 860

// timeline is the picture of a run: groups of rows on one axis.
type timeline struct {
	From, To float64
	// T0 is the wall clock at 0 in milliseconds since 1970, for read-outs.
	T0 int64
	// Since says what the zero of the axis is.
	Since string
	// Zoom and Offset show the stretch around the recovery: the picture's width
	// and left edge as multiples of the visible width.
	Zoom, Offset string
	// Whole tells that the whole run is shown to begin with.
	Whole              bool
	FocusX, FocusW     string
	FocusText          string
	Worst              *stretch
	Groups             []group
	Marks              []mark
	TicksFocus, TicksW []tick
	Gaps               []bar
	Mini               mini
	// Partly tells that there was a partial outage.
	Thinned, Partly bool
	AreaHeight      int
}

// stretch is a stretch of time in seconds.
type stretch struct{ From, To float64 }

// group is a set of rows; Titled tells that its name stands above them.
type group struct {
	Name   string
	Rows   []row
	Titled bool
}

// row is one lane of the picture.
type row struct {
	Label, Sub string
	// Aside stands beside the label.
	Aside  string
	Class  string
	Height int
	// Says is the row in words.
	Says   string
	Bars   []bar
	Good   string // path of dots
	Bad    string // path of dots
	Area   string // path of a filled area
	Guides []guide
	Inform bool
}

// bar is a rectangle: X and W in percent, Y and H in pixels.
type bar struct {
	X, W  string
	Y, H  int
	Class string
	Text  string
	TextX string
	// Fits tells in which views the text has room: "f" around the recovery, "w" in
	// the whole run.
	Fits string
	Tip  string
}

// guide is a labelled height in a row.
type guide struct {
	Y    int
	Text string
}

// mark is a moment with a line across all rows.
type mark struct {
	X, Label, Tip string
	At            float64
	Level         int
	Zero, End     bool
}

// canvas knows both views of a picture.
type canvas struct {
	svg.Scale
	focus svg.Scale
}

func newTimeline(r verdict.Result) timeline {
	p := r.Picture
	if p.To <= p.From {
		return timeline{}
	}
	c := canvas{Scale: svg.Scale{From: p.From, To: p.To}, focus: focus(r)}
	t := timeline{
		Since: origin(r),
		From:  p.From, To: p.To, T0: zero(r).UnixMilli(), Worst: worst(r), Marks: c.marks(marksOf(r)),
		Zoom: svg.Num((p.To-p.From)/(c.focus.To-c.focus.From), 4), Offset: svg.Num((c.focus.From-p.From)/(c.focus.To-c.focus.From), 4),
		Whole: c.focus == c.Scale, FocusX: c.At(c.focus.From), FocusW: c.Len(c.focus.From, c.focus.To),
		FocusText:  si.At(c.focus.From) + " to " + si.At(c.focus.To),
		TicksFocus: c.ticks(c.focus), TicksW: c.ticks(c.Scale), Mini: c.mini(p),
	}
	for _, g := range p.Gaps {
		t.Gaps = append(t.Gaps, bar{X: c.At(g.From), W: c.Len(g.From, g.To), Class: "gap", Tip: "the runner was paused: no data, " + stretchText(g.From, g.To)})
	}
	for _, g := range []group{c.faults(r), c.remedies(r), c.phases(r), c.roles(p), c.lanes(r), c.writes(p)} {
		if len(g.Rows) > 0 {
			t.Groups = append(t.Groups, g)
		}
	}
	t.Partly = slices.ContainsFunc(r.Probes, func(p verdict.ProbeResult) bool { return len(p.Partial) > 0 })
	t.Thinned, t.AreaHeight = thinned(p.Lanes), writesHeight
	return t
}

// origin says in words what the zero of the axis is.
func origin(r verdict.Result) string {
	for _, f := range r.Faults {
		if f.Effective != nil {
			return "the fault was effective"
		}
	}
	if len(r.Picture.Faults) > 0 {
		return "the fault was injected"
	}
	return "the run began"
}

func (c canvas) ticks(visible svg.Scale) []tick {
	var out []tick
	edge := 0.012 * (visible.To - visible.From)
	for _, t := range svg.Ticks(visible.From+edge, visible.To-edge, 8) {
		out = append(out, tick{X: c.At(t.At), Label: t.Label})
	}
	return out
}
