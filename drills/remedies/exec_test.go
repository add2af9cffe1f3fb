package remedies_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/topology"
)

func TestExec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "done")
	c := &topology.Component{Spec: topology.ComponentSpec{Name: "web"}}
	m := &topology.Member{Spec: topology.MemberSpec{Name: "a"}}
	at := drills.Target{Component: c, Members: []*topology.Member{m}}

	r := remedy(t, "exec", `{"command":["sh","-c","echo $0 $1 > `+file+`; echo said","{component}","{members}"],"undo":["rm","-f","`+file+`"]}`)
	var log book
	require.NoError(t, r.Apply(t.Context(), at, &log))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "web a\n", string(b))
	assert.Equal(t, "said", log.steps[0].Detail)
	require.Len(t, log.undos, 1)
	// Another instance, as in another process.
	other := remedy(t, "exec", `{"command":["true"]}`).(drills.Reverter)
	require.NoError(t, other.Revert(t.Context(), log.undos[0]))
	require.NoError(t, other.Revert(t.Context(), log.undos[0]))
	assert.NoFileExists(t, file)

	assert.ErrorContains(t, remedy(t, "exec", `{"command":["sh","-c","echo why; exit 3"]}`).Apply(t.Context(), at, &log), "exit status 3: why")
	assert.ErrorContains(t, remedy(t, "exec", `{"command":["sleep","5"],"timeout":"20ms"}`).Apply(t.Context(), at, &log), "not done after 20ms")
	interrupted := book{breakAt: 1}
	assert.ErrorIs(t, remedy(t, "exec", `{"command":["false"]}`).Apply(t.Context(), at, &interrupted), errInterrupted)
}
