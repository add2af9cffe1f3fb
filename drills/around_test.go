package drills_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// lookingAround is a fault that notes what it is told of the topology.
type lookingAround struct {
	*world
	around [][]*topology.Component
}

func (l *lookingAround) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	l.around = append(l.around, t.Around)
	return l.world.Prepare(ctx, t)
}

// A fault on what other components run on knows them, whenever it is asked.
func TestFaultsKnowTheOtherComponents(t *testing.T) {
	l := &lookingAround{world: &world{}}
	var all []*topology.Component
	l.run(t, func(d *drills.Drill, _ *drills.Options) {
		d.Faults[0].Injector = l
		all = d.Topology.Components
	})
	assert.GreaterOrEqual(t, len(l.around), 2, "before the drill, and before the fault")
	for _, a := range l.around {
		assert.Equal(t, all, a)
	}
}
