package scenarios

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

func fixtureTopology(t *testing.T) *TopologyFile {
	t.Helper()
	tf, err := LoadTopology("testdata/good/shop-topology.yaml", fixtureKinds())
	require.NoError(t, err)
	return tf
}

func TestCompileFillsTheDrill(t *testing.T) {
	f, err := Load("testdata/good/full.yaml", map[string]string{"lag": "4s"}, fixtureKinds())
	require.NoError(t, err)
	d, err := Compile(f, fixtureTopology(t), fixtureCatalogues())
	require.NoError(t, err)

	p := d.Plan
	assert.Equal(t, "primary-loss", p.Scenario)
	assert.Equal(t, "shop", p.Topology)
	assert.Equal(t, 5*time.Second, p.Baseline, "default")
	assert.Equal(t, timeline.Stable{For: 3 * time.Second, Samples: 10, Share: 0.5}, p.Stable, "defaults around what is given")
	assert.Equal(t, 15*time.Minute, p.Longest)
	assert.Equal(t, drills.Limits{Members: 1, Sites: 1}, d.Limits)
	assert.Equal(t, []drills.StopCondition{{Probe: "write", Outage: 10 * time.Minute}}, d.Stops)

	ms := time.Millisecond
	write := timeline.Series{
		Probe: "write", Kind: "mysql-write", Component: "orders-db", Client: "fresh", Address: "127.0.0.10:3306", Via: "writers",
		Every: 10 * ms, Timeout: time.Second, Concurrency: 102, Mode: "Continuous", Judged: true, Ledger: "write", Writes: true,
	}
	pooled := write
	pooled.Client = "pooled"
	read := timeline.Series{
		Probe: "read", Kind: "mysql-read", Component: "orders-db", Client: "pooled", Via: "replica of orders-db",
		Every: 50 * ms, Timeout: time.Second, Concurrency: 22, Mode: "Continuous", Ledger: "write",
	}
	second := timeline.Series{
		Probe: "second", Kind: "tcp", Component: "orders-db", Client: "fresh", Address: "127.0.0.12:3306", Via: "db2",
		Every: 50 * ms, Timeout: time.Second, Concurrency: 22, Mode: "EOT", Judged: true,
	}
	outside := timeline.Series{
		Probe: "outside", Kind: "tcp", Client: "fresh", Address: "127.0.0.99:80",
		Every: time.Microsecond, Timeout: time.Second, Concurrency: 4096, Mode: "Continuous", Judged: true,
	}
	assert.Equal(t, []timeline.Series{write, pooled, read, second, outside}, p.Series)
	require.Len(t, d.Series, 5)
	assert.Nil(t, d.Series[0].Select)
	assert.Equal(t, "orders-db", d.Series[0].Component.Name())
	assert.Equal(t, "1 replica of orders-db", d.Series[2].Select.String())
	assert.Nil(t, d.Series[4].Component)

	assert.Equal(t, []timeline.PlannedFault{
		{Name: "lag", Kind: "exec", Component: "orders-db", Target: "1 replica of orders-db in south", For: time.Minute},
		{Name: "kill", Kind: "process-kill", Component: "orders-db", Target: "primary of orders-db", At: 4 * time.Second, Measured: true},
	}, p.Faults)
	assert.JSONEq(t, `{"command":["echo","${HOME}"]}`, string(d.Faults[0].With))
	assert.Equal(t, []timeline.PlannedRemedy{{Name: "promote", Kind: "mysql-failover", Target: "members of orders-db"}}, p.Remedies)

	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	assert.Equal(t, []timeline.Objective{
		{Name: "rto", Component: "orders-db", Target: seconds(60)},
		{Name: "rpo", Component: "orders-db", Target: 0},
		{Name: "rto", Target: seconds(300)},
	}, p.Objectives)

	var source struct {
		Spec struct{ Vars map[string]string }
	}
	require.NoError(t, json.Unmarshal(p.ScenarioSource, &source))
	assert.Equal(t, "4s", source.Spec.Vars["lag"], "the source shows the values in force")
	assert.Contains(t, string(p.TopologySource), `"file:/run/secrets/root"`)
}

// TestCompileProblems compiles each file of testdata/unfit on the topology of
// the fixtures and compares what is said with the golden file next to it.
func TestCompileProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/unfit/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			f, err := Read(filepath.Base(file), data, nil, fixtureKinds())
			require.NoError(t, err)
			_, err = Compile(f, fixtureTopology(t), fixtureCatalogues())
			require.Error(t, err)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func TestCheckBuildsEveryPlugIn(t *testing.T) {
	data, err := os.ReadFile("testdata/unfit/refused-by-plug-in.yaml")
	require.NoError(t, err)
	f, err := Read("x.yaml", data, nil, fixtureKinds())
	require.NoError(t, err)
	assert.EqualError(t, f.Check(fixtureCatalogues()),
		"x.yaml:15:23: spec.faults[0].with.command: must not be empty")
}

// A File that no file stands behind still compiles, and its problems have paths.
func TestCompileWithoutSource(t *testing.T) {
	f := &File{Spec: defaultSpec()}
	f.Metadata.Name = "made"
	f.Spec.Faults = []Fault{{Name: "kill", Kind: "process-kill", Target: Target{Component: "nothing"}}}
	_, err := Compile(f, fixtureTopology(t), fixtureCatalogues())
	assert.ErrorContains(t, err, `made: topology shop has no component "nothing"`)
}
