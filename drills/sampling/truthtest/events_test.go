package truthtest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// A stall of 0.5 s at event A and an outage of 2 s at event B are attributed to A
// and B; what begins after the drill began to revert is charged to neither. Where
// the machine held up requests at one of these moments, it is done once more.
func TestOutagesAreAttributedToTheirEvents(t *testing.T) {
	needsServers(t)
	held := false
	for _, try := range []string{"once", "once more"} {
		t.Run(try, func(t *testing.T) {
			var err error
			if held, err = attribute(t); held && err != nil && try == "once" {
				t.Logf("requests reached the server late: %v", err)
				return
			}
			held = false
			require.NoError(t, err)
		})
		if !held {
			return
		}
	}
}

// attribute makes the events and says what is wrong with what is reported of them,
// and whether the machine held up requests there.
func attribute(t *testing.T) (held bool, err error) {
	const every, timeout = 20 * time.Millisecond, time.Second
	addr := "127.0.1.201:8080"
	served := serve(t, []site{{Addr: addr, Steps: []step{
		{Mode: drop, After: time.Second, For: 500 * time.Millisecond},
		{Mode: refuse, After: time.Second, For: 2 * time.Second},
		{Mode: reset, After: time.Second, For: 200 * time.Millisecond},
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-served.done
		wait(ctx, time.Second)
		cancel()
	}()
	l := look{Addr: addr, Every: every, Timeout: timeout}
	rec := record(ctx, []look{l})
	require.Len(t, served.facts[0], 3)
	j := newJudge(t, l, rec, 0, served, &score{})
	for _, tr := range j.truths {
		held = held || j.held(tr.down) || j.held(tr.up)
	}
	return held, attributed(t, j)
}

// attributed compares what is reported with the truth.
func attributed(t *testing.T, j *judge) error {
	var causes []verdict.Cause
	kinds := []string{verdict.CauseFault, verdict.CauseFault, verdict.CauseRevert}
	for i, tr := range j.truths {
		causes = append(causes, verdict.Cause{Name: string("ABR"[i]), Kind: kinds[i], At: tr.down})
	}
	outages := j.Outages()
	if len(outages) != 3 {
		return fmt.Errorf("%d outages are reported, not 3: %+v", len(outages), outages)
	}
	if got := verdict.Attribute(outages, causes); !reflect.DeepEqual(got, causes) {
		return fmt.Errorf("attributed to %+v, not to %+v", got, causes)
	}
	stable := timeline.Stable{For: 300 * time.Millisecond, Samples: 5, Share: 0.5}
	for i, name := range []string{"A", "B"} {
		w := verdict.WindowOf(causes, i)
		w.By = causes[i+1].At.Lo
		got, took := j.Recovery(w, stable, 0), time.Duration(j.truths[i].up.Lo-j.truths[i].down.Lo)
		t.Logf("event %s: took %v, reported [%v, %v], stable %v later", name, took, got.Lo, got.Hi, time.Duration(got.StableAt-got.End.Hi))
		switch {
		case !got.Recovered:
			return fmt.Errorf("%s is not recovered from: %+v", name, got)
		case !reflect.DeepEqual(outages[i:i+1], got.Outages):
			return fmt.Errorf("%s has the outages %+v, not %+v", name, got.Outages, outages[i:i+1])
		case took < got.Lo || took > got.Hi:
			return fmt.Errorf("%s took %v, which is not between %v and %v", name, took, got.Lo, got.Hi)
		}
	}
	return nil
}
