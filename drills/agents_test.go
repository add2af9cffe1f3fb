package drills_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/vantage"
	"firedrill/drills/verdict"
)

// hosting is the world as a platform that probe agents can be started on.
type hosting struct {
	*world
	startErr error
	// dies is when the agent is killed, counted from its start; 0: never.
	dies time.Duration

	started, removed int
	conn             *streams
}

// streams are the two streams of an agent.
type streams struct {
	io.Reader
	io.Writer
	close func()
}

func (s *streams) Close() error { s.close(); return nil }

func (h *hosting) CanHost() error { return nil }

func (h *hosting) PlanAgent(runID string, number int, at vantage.Place, _ time.Duration) (json.RawMessage, string, error) {
	return json.RawMessage(fmt.Sprintf(`{"run":%q,"n":%d,"zone":%q}`, runID, number, at.Zone)), "delete the agent", nil
}

func (h *hosting) StartAgent(_ context.Context, made json.RawMessage) (vantage.Link, error) {
	if string(made) != `{"run":"r1","n":1,"zone":"b"}` {
		return nil, fmt.Errorf("not as planned: %s", made)
	}
	h.set(func() { h.started++ })
	return h, h.startErr
}

func (h *hosting) RemoveAgent(_ context.Context, made json.RawMessage) error {
	if string(made) != `{"run":"r1","n":1,"zone":"b"}` {
		return fmt.Errorf("not as planned: %s", made)
	}
	h.set(func() { h.removed++ })
	return nil
}

func (h *hosting) AgentPrivileges() []topology.Privilege { return nil }

// Connect starts the agent, which is in this process.
func (h *hosting) Connect(context.Context) (io.ReadWriteCloser, error) {
	if h.conn != nil {
		return nil, fmt.Errorf("%w: it was killed", vantage.ErrGone)
	}
	in, toAgent := io.Pipe()
	fromAgent, out := io.Pipe()
	end := func() { toAgent.Close(); out.Close(); in.Close() }
	h.conn = &streams{fromAgent, toAgent, end}
	go func() {
		_ = vantage.Serve(context.Background(), in, out, vantage.Ready{}, func(context.Context, vantage.Order, vantage.Job, timeline.Clock) (sampling.Observer, error) {
			return h.world, nil
		})
		end()
	}()
	if h.dies > 0 {
		time.AfterFunc(h.dies, end)
	}
	return h.conn, nil
}

// drillFrom runs a drill whose only probe looks from zone b.
func (h *hosting) drillFrom(t *testing.T) (verdict.Result, bool, []string) {
	t.Helper()
	var types []string
	var dir string
	res, clean := h.run(t, func(d *drills.Drill, o *drills.Options) {
		p := h.plugins()
		p.Topology.Components = kind.Of("component", kind.New("svc", "", struct{}{}, func(struct{}) (topology.NewAdapter, error) {
			return func(*topology.Component) (topology.Adapter, error) { return h, nil }, nil
		}))
		o.Plugins = p
		c := d.Topology.Components[0]
		c.Adapter = h
		d.Plan.Series[0].From, d.Plan.Series[0].Concurrency = "zone b", 60
		d.Series[0].From = &drills.Vantage{Component: c, Place: vantage.Place{Zone: "b"}}
		dir = o.Dir
	})
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	for _, e := range rec.Events {
		types = append(types, timeline.EventType(e.Payload))
	}
	return res, clean, types
}

func TestProbeLooksFromElsewhere(t *testing.T) {
	h := &hosting{world: &world{}}
	res, clean, events := h.drillFrom(t)
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Equal(t, 1, h.started)
	assert.Equal(t, 1, h.removed)
	assert.Equal(t, "zone b", res.Probes[0].From)
	assert.Zero(t, res.Probes[0].NoData)
	require.NotNil(t, res.Objectives[0].Actual.Hi)
	assert.Less(t, *res.Objectives[0].Actual.Hi, 0.2)
	assert.Contains(t, events, "clock-related")
	assert.Contains(t, strings.Join(res.Caveats, "\n"), "the clock of the agent in zone b is known to ± ")
}

// A drill whose agent is lost says that it does not know, and is clean all the same.
func TestAgentIsLost(t *testing.T) {
	h := &hosting{world: &world{noRemedy: true, healsIn: 3 * time.Second}, dies: 3500 * time.Millisecond}
	res, clean, events := h.drillFrom(t)
	assert.True(t, clean)
	assert.Equal(t, verdict.Inconclusive, res.Verdict, res.Reasons)
	assert.Contains(t, res.Reasons[0], "its agent in zone b was lost")
	assert.Contains(t, events, "agent-lost")
	assert.Contains(t, strings.Join(res.Caveats, "\n"), "the agent in zone b is lost, so that there is no data of look/fresh any more")
	assert.Positive(t, res.Probes[0].NoData)
	assert.Equal(t, 1, h.removed)
}

func TestAgentIsLostBeforeTheFault(t *testing.T) {
	h := &hosting{world: &world{}, dies: time.Second}
	res, clean, _ := h.drillFrom(t)
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "the agent in zone b is lost")
	assert.Zero(t, h.injected)
	assert.Equal(t, 1, h.removed)
}

func TestAgentDoesNotStart(t *testing.T) {
	h := &hosting{world: &world{}, startErr: errors.New("no node in zone b")}
	res, clean, _ := h.drillFrom(t)
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "no node in zone b")
	assert.Equal(t, 1, h.removed)
}
