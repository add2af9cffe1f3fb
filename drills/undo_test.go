package drills

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What fails is tried again after something else was undone, and not for ever.
func TestUndoAllTriesAgain(t *testing.T) {
	errBehind := errors.New("behind the partition")
	cut := true
	var order []string
	errs := undoAll([]string{"start", "partition", "never"}, func(name string) error {
		order = append(order, name)
		switch {
		case name == "partition":
			cut = false
		case name == "never", cut:
			return errBehind
		}
		return nil
	})
	assert.Equal(t, []error{errBehind}, errs)
	assert.Equal(t, []string{"start", "partition", "never", "start", "never", "never"}, order)
}
