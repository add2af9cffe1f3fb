package verdict

import "firedrill/drills/timeline"

// What a Cause can be.
const (
	CauseFault  = "fault"
	CauseRemedy = "remedy"
	CauseRevert = "revert"
)

// Cause is something that the drill did, from which outages may come.
type Cause struct {
	// Name is the fault's or the remedy's; Kind is one of the constants above.
	Name, Kind string
	// At contains the moment at which it took effect; At.Lo is its begin.
	At timeline.Interval
}

// Attribute returns the cause of each outage, by time: the latest one that had
// begun by the latest moment at which the outage can have started. The zero
// Cause stands for none: the outage came before everything. Causes are in any order.
func Attribute(outages []Downtime, causes []Cause) []Cause {
	out := make([]Cause, len(outages))
	for i, d := range outages {
		for _, c := range causes {
			if c.At.Lo <= d.Start.Hi && (out[i].Kind == "" || c.At.Lo >= out[i].At.Lo) {
				out[i] = c
			}
		}
	}
	return out
}

// WindowOf returns the window in which outages are charged to causes[i], a fault:
// from its disruption until the begin of the next fault or revert, whichever is
// first. What a remedy brings about belongs to the fault that made it necessary;
// what begins after reverting began is the drill's own doing and is never charged
// to the system under test. An outage that began before the window and lasts into
// it is charged to both faults.
func WindowOf(causes []Cause, i int) Window {
	w := Window{Disruption: causes[i].At}
	for j, c := range causes {
		if j == i || c.Kind == CauseRemedy || c.At.Lo < w.Disruption.Lo {
			continue
		}
		if c.At.Lo == w.Disruption.Lo && c.Kind == CauseFault {
			continue // faults made at once share their window
		}
		if w.Until == 0 || c.At.Lo < w.Until {
			w.Until = c.At.Lo
		}
	}
	return w
}
