package verdict

import "time"

// Picture is what the timeline of a report is drawn from. All times are in
// seconds since T0: the moment at which the fault that recovery counts from was
// effective (or the run began, if there was none).
type Picture struct {
	// T0 is the wall clock at 0 on the picture's axis; it labels, it never measures.
	T0       time.Time
	From, To float64
	Lanes    []Lane
	Faults   []Span
	Remedies []Span
	Phases   []Span
	Roles    []RoleLane
	Writes   []Rate
	Gaps     []Span
	Marks    []Mark
}

// Lane is one series: its bands and a thinned scatter of its latency.
type Lane struct {
	Name   string // probe/client
	Judged bool
	Bands  []Band
	Points []Point
	// Timeout is the sample deadline in seconds.
	Timeout float64
}

// Band is a stretch of one state: good, bad or no-data. The edges are uncertain
// by FromWidth before From and ToWidth after To.
type Band struct {
	State              string
	Class              string
	From, To           float64
	FromWidth, ToWidth float64
}

// Point is one sample: when it started, how long it took, its class.
type Point struct {
	At, Took float64
	Class    string
}

// Span is a named stretch; Kind is a CSS-friendly word.
type Span struct {
	Name, Kind, Detail string
	From, To           float64
}

// RoleLane is who a member was, when.
type RoleLane struct {
	Component, Member string
	Spans             []Span
}

// Rate is the number of writes acknowledged and lost in the second that begins
// at At.
type Rate struct {
	At           float64
	Acknowledged int
	Lost         int
}

// Mark is a moment worth a line.
type Mark struct {
	Name string
	At   float64
}
