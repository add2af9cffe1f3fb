package gtid_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql/gtid"
)

const (
	a = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	b = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func set(t *testing.T, text string) gtid.Set {
	t.Helper()
	s, err := gtid.ParseSet(text)
	require.NoError(t, err)
	return s
}

func pos(t *testing.T, text string) gtid.Positions {
	t.Helper()
	p, err := gtid.ParsePositions(text)
	require.NoError(t, err)
	return p
}

func TestSetNotation(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		a + ":1":                    a + ":1",
		a + ":1-5:7, \n" + b + ":3": a + ":1-5:7," + b + ":3",
		a + ":5-9:1-4":              a + ":1-9",
		"3E11FA47-71CA-11E1-9E33-C80AA9429562:1-3:5-5": a + ":1-3:5",
		a + ":1-5:blue:1-3:9:red:1":                    a + ":1-5:blue:1-3:9:red:1",
		a + ":blue:1-3," + a + ":1":                    a + ":1:blue:1-3",
	} {
		assert.Equal(t, want, set(t, in).String(), in)
	}
	for _, bad := range []string{"x:1", a + ":0", a + ":5-1", a + ":1-", a + ":1--2"} {
		_, err := gtid.ParseSet(bad)
		assert.Error(t, err, bad)
	}
}

func TestSetAlgebra(t *testing.T) {
	for _, c := range []struct {
		have, other string
		left        string
		count       uint64
	}{
		{a + ":1-10", a + ":1-10", "", 0},
		{a + ":1-10", "", a + ":1-10", 10},
		{a + ":1-10", a + ":3-4:8", a + ":1-2:5-7:9-10", 7},
		{a + ":1-10", a + ":5-50", a + ":1-4", 4},
		{a + ":5-10", a + ":1-7", a + ":8-10", 3},
		{a + ":1-10," + b + ":1", a + ":1-10", b + ":1", 1},
		{a + ":1-4:blue:1-9", a + ":1-4:blue:1-3", a + ":blue:4-9", 6},
		{a + ":blue:1-9", a + ":1-9", a + ":blue:1-9", 9},
		{a + ":1-2:5-6:9", a + ":2-8", a + ":1:9", 2},
	} {
		d := set(t, c.have).Subtract(set(t, c.other))
		assert.Equal(t, c.left, d.Text, c)
		assert.Equal(t, c.count, d.Count, c)
		assert.Equal(t, c.count == 0, set(t, c.other).Contains(set(t, c.have)), c)
		u := set(t, c.have).Union(set(t, c.other))
		assert.True(t, u.Contains(set(t, c.have)) && u.Contains(set(t, c.other)), c)
		assert.Equal(t, set(t, c.other).Count()+c.count, u.(gtid.Set).Count(), c)
	}
}

func TestPositionsAlgebra(t *testing.T) {
	for _, c := range []struct {
		name, have, other string
		left              string
		count             uint64
		atMost            bool
	}{
		{"same", "0-1-5", "0-1-5", "", 0, false},
		{"behind", "0-1-5", "0-1-9", "", 0, false},
		{"ahead", "0-1-9", "0-1-5", "0-1-6..9", 4, false},
		{"from nothing", "0-1-9", "", "0-1-1..9", 9, false},
		{"old primary after failover", "0-1-4405", "0-1-4077,0-2-5000", "0-1-4078..4405", 328, false},
		{"new primary over the old one", "0-1-4077,0-2-5000", "0-1-4405", "0-2-4078..5000", 923, false},
		{"same number, other server", "0-1-10", "0-1-9,0-2-10", "0-1-10", 1, false},
		{"promoted and followed", "0-1-4077,0-2-5000", "0-1-4077,0-2-4900", "0-2-4901..5000", 100, false},
		{"domains apart", "0-1-5,1-1-7", "0-1-5,1-1-4", "1-1-5..7", 3, false},
		{"domain missing", "0-1-5,1-1-7", "0-1-5", "1-1-1..7", 7, false},
		{"written on a replica", "0-12-6,0-1-5", "0-1-9", "0-12-6", 1, false},
		{"beside the common history", "0-1-4405,0-2-6000", "0-1-4077,0-2-6000", "0-1-4078..4405", 328, true},
		{"origins in turn", "0-1-4077,0-2-5000", "0-2-2000,0-1-3000", "0-1-3001..4077,0-2-3001..5000", 2000, false},
	} {
		d := pos(t, c.have).Subtract(pos(t, c.other))
		assert.Equal(t, c.left, d.Text, c.name)
		assert.Equal(t, c.count, d.Count, c.name)
		assert.Equal(t, c.atMost, d.AtMost, c.name)
		assert.Equal(t, c.count == 0, pos(t, c.other).Contains(pos(t, c.have)), c.name)
	}
}

// A server that was cloned knows nothing of who wrote before; one that was
// written to beside replication looks just the same.
func TestPositionsUnsure(t *testing.T) {
	d := pos(t, "0-1-4077,0-2-5000").Subtract(pos(t, "0-2-5000"))
	assert.True(t, d.None())
	assert.Equal(t, "0-1-4077", d.Unsure)
	assert.True(t, pos(t, "0-2-5000").Contains(pos(t, "0-1-4077,0-2-5000")))
	d = pos(t, "0-1-4077,0-2-5001").Subtract(pos(t, "0-2-5000"))
	assert.Equal(t, "0-2-5001", d.Text)
}

func TestPositionsNotation(t *testing.T) {
	p := pos(t, "0-2-5000, 0-1-4077,3-1-9")
	assert.Equal(t, "0-1-4077,0-2-5000,3-1-9", p.String())
	assert.Equal(t, "0-2-5000,3-1-9", p.Last().String())
	assert.Equal(t, uint64(5000), p.Wrote(2))
	assert.Equal(t, "0-1-4405,0-2-5000,3-1-9", p.Union(pos(t, "0-1-4405")).String())
	for _, bad := range []string{"0-1", "a-1-2", "0-1-2-3", "0-1-x"} {
		_, err := gtid.ParsePositions(bad)
		assert.Error(t, err, bad)
	}
}
