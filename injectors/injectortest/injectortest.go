// Package injectortest is what every kind of fault must pass: random life cycles
// against real things, after each of which everything must be as before.
package injectortest

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
)

// Case is one fault against one target.
type Case struct {
	Catalogue kind.Catalogue[drills.Injector]
	Kind      string
	// With are the fault's parameters, as JSON.
	With string
	// Target opens what the fault acts on, anew each time.
	Target func() (drills.Target, error)
	// Healthy returns nil if the real state is as it was before any fault, and
	// Faulted if the fault acts, both by other means than the injector's. They wait
	// as long as that may take, within ctx.
	Healthy, Faulted func(context.Context) error
	// Leftovers lists what a fault has left behind.
	Leftovers func() ([]string, error)
	// Die has the target die of something else; Heal brings it back where Revert
	// does not. Both nil: it does not die.
	Die, Heal func(context.Context) error
	// Event marks a fault whose witness may still say after Revert that it happened.
	Event bool
	// Worker is a job's specs, if the test program can be run as "worker" (see
	// Worker): then other processes inject and revert, too, and are killed at it.
	Worker *Job
	// Share is what share of the usual number of life cycles is run, for slow ones;
	// 0 stands for 1.
	Share float64
}

const (
	// roundsVar is how many life cycles each case goes through.
	roundsVar = "FIREDRILL_TEST_ROUNDS"
	// seedVar makes a failed run happen again, as far as chance is concerned.
	seedVar       = "FIREDRILL_TEST_SEED"
	defaultRounds = 12
)

// Run goes through the life cycles.
func Run(t *testing.T, c Case) {
	t.Helper()
	seed, rounds := number(t, seedVar, 1), number(t, roundsVar, defaultRounds)
	if c.Share > 0 {
		rounds = max(1, int(float64(rounds)*c.Share))
	}
	name := fnv.New64a()
	name.Write([]byte(t.Name()))
	require.NoError(t, c.Healthy(t.Context()), "before any fault")
	for i := range rounds {
		l := &life{Case: c, t: t, r: rand.New(rand.NewPCG(uint64(seed), uint64(i)^name.Sum64()))}
		l.live()
		if t.Failed() {
			t.Fatalf("life cycle %d of %d, %s=%d: %v", i, rounds, seedVar, seed, l.story)
		}
	}
}

func number(t *testing.T, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err, name)
	return n
}

// OpenTarget makes a target of members.
func OpenTarget(k topology.Kinds, members, others []topology.MemberSpec) (drills.Target, error) {
	t := drills.Target{Component: &topology.Component{Spec: topology.ComponentSpec{Name: "test"}}}
	for i, list := range [][]topology.MemberSpec{members, others} {
		for _, spec := range list {
			m := &topology.Member{Spec: spec, Component: "test"}
			if spec.Control != nil {
				ctl, err := k.OpenControl(spec)
				if err != nil {
					return t, err
				}
				m.Control = ctl
			}
			t.Component.Members = append(t.Component.Members, m)
			if i == 0 {
				t.Members = append(t.Members, m)
			} else {
				t.Others = append(t.Others, m)
			}
		}
	}
	return t, nil
}

// OpenPart makes a target of some members of a component.
func OpenPart(k topology.Kinds, spec topology.ComponentSpec, members []string) (drills.Target, error) {
	c, err := k.OpenComponent(spec, nil)
	if err != nil {
		return drills.Target{}, err
	}
	t := drills.Target{Component: c}
	for _, m := range c.Members {
		if slices.Contains(members, m.Name()) {
			t.Members = append(t.Members, m)
		} else {
			t.Others = append(t.Others, m)
		}
	}
	return t, nil
}
