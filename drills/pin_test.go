package drills_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
)

// leaning is a platform whose parameters mean what somebody else's file says.
type leaning struct {
	*platform
	err error
}

func (l *leaning) Pin(_ context.Context, with json.RawMessage) (json.RawMessage, error) {
	return json.RawMessage(`{"at":"cluster a, for good"}`), l.err
}

// What puts things back gets the parameters as they were pinned when the run began.
func TestWhatIsWrittenDownIsPinned(t *testing.T) {
	type params struct {
		At string `json:"at"`
	}
	l := &leaning{platform: &platform{world: &world{}}}
	var opened []string
	change := func(d *drills.Drill, o *drills.Options) {
		o.Plugins.Topology.Components = kind.Of("component", kind.New("svc", "", params{}, func(p params) (topology.NewAdapter, error) {
			return func(*topology.Component) (topology.Adapter, error) { opened = append(opened, p.At); return l, nil }, nil
		}))
		d.Topology.Components[0].Adapter = l
	}
	res, clean := l.run(t, change)
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Equal(t, []string{"cluster a, for good"}, slices.Compact(opened))
	assert.GreaterOrEqual(t, len(opened), 1)

	l = &leaning{platform: &platform{world: &world{}}, err: errors.New("there is no such context")}
	res, clean = l.run(t, change)
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "component svc: there is no such context")
}
