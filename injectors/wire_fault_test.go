package injectors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"firedrill/drills"
)

// The fault point gives up by itself soon after whoever else had to: a runner and a
// watchdog that are both gone must not leave a vendor away for hours.
func TestWireFaultEndsByItself(t *testing.T) {
	f := &wireFault{expires: 2 * time.Hour}
	assert.Equal(t, 3*time.Minute, f.lasts(drills.Target{Stay: 2 * time.Minute}))
	assert.Equal(t, 2*time.Hour, f.lasts(drills.Target{Stay: 5 * time.Hour}))
	assert.Equal(t, 2*time.Hour, f.lasts(drills.Target{}), "nobody says how long it is to stay")
}
