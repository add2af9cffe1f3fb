package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
)

// Only who takes no writes, receives nothing and has applied everything can be
// relied upon without being asked again.
func TestStill(t *testing.T) {
	at := func(text string) gtid.History {
		p, err := gtid.ParsePositions(text)
		require.NoError(t, err)
		return p
	}
	frozen := func(change func(*mysql.State)) mysql.State {
		link := &mysql.Link{Applier: true, Received: at("0-1-7")}
		st := mysql.State{Flavour: mysql.MariaDB, ReadOnly: true, Executed: at("0-1-7"), Link: link}
		change(&st)
		return st
	}
	for name, c := range map[string]struct {
		change         func(*mysql.State)
		applied, still bool
	}{
		"frozen":           {func(*mysql.State) {}, true, true},
		"follows nobody":   {func(st *mysql.State) { st.Link = nil }, true, true},
		"takes writes":     {func(st *mysql.State) { st.ReadOnly = false }, true, false},
		"receives":         {func(st *mysql.State) { st.Link.Receiver = true }, true, false},
		"has some to do":   {func(st *mysql.State) { st.Link.Received = at("0-1-9") }, false, false},
		"cannot do it now": {func(st *mysql.State) { st.Link.Received, st.Link.Applier = at("0-1-9"), false }, true, true},
	} {
		st := frozen(c.change)
		assert.Equal(t, c.applied, st.Applied(), name)
		assert.Equal(t, c.still, st.Still(), name)
	}
}
