package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
)

func known(t *testing.T, text string) gtid.History {
	t.Helper()
	p, err := gtid.ParsePositions(text)
	require.NoError(t, err)
	return p
}

func TestDecide(t *testing.T) {
	type c = mysql.Candidate
	at := func(text string) gtid.History { return known(t, text) }
	for _, x := range []struct {
		name string
		cs   []c
		want string
		says string
	}{
		{"healthy", []c{{Name: "a", Known: at("0-1-9"), Open: true, Was: true}, {Name: "b", Known: at("0-1-9")}}, "a", "only member that takes writes"},
		{
			"replica ahead of a crashed primary",
			[]c{{Name: "a", Known: at("0-1-8"), Open: true, Was: true}, {Name: "b", Known: at("0-1-9")}},
			"a", "it lacks 1 (0-1-9) of b",
		},
		{
			"promoted and written to, then closed",
			[]c{{Name: "a", Known: at("0-1-9"), Open: true, Was: true}, {Name: "b", Known: at("0-1-8,0-2-9"), Own: true}},
			"b", "promoted meanwhile",
		},
		{"promoted", []c{{Name: "a", Known: at("0-1-9"), Was: true}, {Name: "b", Known: at("0-1-8"), Open: true}}, "b", "it lacks 1 (0-1-9) of a"},
		{"split brain", []c{{Name: "a", Known: at("0-1-9"), Open: true, Was: true}, {Name: "b", Known: at("0-1-8"), Open: true}}, "b", "a and b take writes"},
		{"split brain of three", []c{
			{Name: "a", Known: at("0-1-9"), Open: true, Was: true},
			{Name: "b", Known: at("0-1-8"), Open: true},
			{Name: "c", Known: at("0-1-8,0-3-9"), Open: true, Own: true, Followers: 1},
		}, "c", "take writes"},
		{"nobody, tie", []c{{Name: "a", Known: at("0-1-9")}, {Name: "b", Known: at("0-1-9"), Was: true}}, "b", "everything that the others have, and was the primary"},
		{"nobody, tie without a former primary", []c{{Name: "a", Known: at("0-1-9")}, {Name: "b", Known: at("0-1-9")}}, "a", "everything"},
		{"nobody, one has more", []c{{Name: "a", Known: at("0-1-9"), Was: true}, {Name: "b", Known: at("0-1-9,0-2-10")}}, "b", "everything"},
		{
			"nobody, diverged",
			[]c{{Name: "a", Known: at("0-1-12"), Was: true}, {Name: "b", Known: at("0-1-9,0-2-10"), Own: true}},
			"b", "no member has everything that the others have; it was promoted meanwhile; it lacks 3 (0-1-10..12) of a",
		},
		{"nobody, diverged replicas", []c{{Name: "a", Known: at("0-1-9,0-5-10")}, {Name: "b", Known: at("0-1-9,0-6-12")}}, "b", "it lacks the least"},
	} {
		got, ok := mysql.Decide(x.cs)
		require.True(t, ok, x.name)
		assert.Equal(t, x.want, got.Name, x.name)
		assert.Contains(t, got.Says(), x.says, x.name)
	}
	_, ok := mysql.Decide(nil)
	assert.False(t, ok)
}
