package vantage

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"firedrill/drills/timeline"
)

// protocol is the number of this protocol: both ends must have the same.
const protocol = 1

// The runner sends one order, and then beats; the agent sends lines. All of them are
// JSON, one on each line of text.
type (
	// Order is what an agent is to do.
	Order struct {
		Protocol int    `json:"protocol"`
		RunID    string `json:"run_id"`
		// Leash is for how long the agent goes on without hearing of the runner.
		Leash time.Duration `json:"leash_ns"`
		Jobs  []Job         `json:"jobs"`
	}
	// Job is one series to sample. It carries no secrets and no references to any.
	Job struct {
		// Index is that of the series in the plan, Name its name.
		Index       int             `json:"index"`
		Name        string          `json:"name"`
		Kind        string          `json:"kind"`
		With        json.RawMessage `json:"with,omitempty"`
		Address     string          `json:"address,omitempty"`
		Client      string          `json:"client"`
		Every       time.Duration   `json:"every_ns"`
		Timeout     time.Duration   `json:"timeout_ns"`
		Phase       time.Duration   `json:"phase_ns"`
		Concurrency int             `json:"concurrency"`
	}
	// beat says all that the runner wants at the moment. As it is said again and
	// again, one that is lost does no harm.
	beat struct {
		// N is the beat's number, which the answer repeats; 0 for the order.
		N int64 `json:"beat"`
		// Order is in the very first.
		Order *Order `json:"order,omitempty"`
		// Have is the number up to which the runner has every line. If Again is set, it
		// asks for those after it once more.
		Have  int64 `json:"have"`
		Again bool  `json:"again,omitempty"`
		// Do is one of the words below.
		Do string `json:"do,omitempty"`
		// Off are the series that are not to look for now.
		Off []int `json:"off,omitempty"`
	}
	// line is what the agent says; one of the pointers is set.
	line struct {
		// N numbers what must not get lost, from 1; answers to beats have 0.
		N      int64            `json:"n,omitempty"`
		Ready  *Ready           `json:"ready,omitempty"`
		Failed *string          `json:"failed,omitempty"`
		Pong   *pong            `json:"pong,omitempty"`
		Sample *timeline.Sample `json:"sample,omitempty"`
		Gap    *timeline.Gap    `json:"gap,omitempty"`
		// Done is the index of a series that has handed over its last sample.
		Done *int `json:"done,omitempty"`
	}
	// Ready says that the agent has opened its probes.
	Ready struct {
		Version string `json:"version"`
		Host    string `json:"host"`
	}
	// pong answers a beat. The agent's clock showed Heard after it had read the beat,
	// and Said before it wrote the answer.
	pong struct {
		N     int64           `json:"beat"`
		Heard timeline.Offset `json:"heard"`
		Said  timeline.Offset `json:"said"`
		// First is the oldest line that the agent can still send again.
		First int64 `json:"first"`
	}
)

// What a beat asks for.
const (
	doWait   = ""     // open the probes, and wait
	doSample = "look" // sample
	doStop   = "stop" // let samples under way end, and end
)

// NotNow is the detail of a sample without data that was left out because the runner
// had said so.
const NotNow = "not sampled in this phase"

// longestLine bounds what is read as one line: a sample has a detail of 200 bytes.
const longestLine = 1 << 20

// lines splits a stream.
func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), longestLine)
	return s
}

// encode is v as one line.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}
