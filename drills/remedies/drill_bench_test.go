package remedies_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/remedies"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/mysql/mysqltest"
	"firedrill/injectors"
	"firedrill/probes"
	"firedrill/scenarios"
)

// BenchmarkDrill runs whole drills, with clients that write, in turns with
// promotions by hand, without clients. A drill's time counts from the event that
// says that the runner saw clients fail until the last remedy ended.
func BenchmarkDrill(b *testing.B) {
	for _, flavour := range mysqltest.Flavours {
		b.Run(flavour, func(b *testing.B) {
			w := newBenchWorld(b, flavour)
			home := b.TempDir()
			var hand, engine, added []time.Duration
			for b.Loop() {
				for range pairs / 2 {
					h, e := w.promotion(w.byHand), w.drill(home, len(added))
					hand, engine, added = append(hand, h), append(engine, e), append(added, e-h)
				}
			}
			reportTimes(b, "hand", hand)
			reportTimes(b, "engine", engine)
			reportTimes(b, "added", added)
			b.ReportMetric(float64(len(added)), "pairs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// quickDrill is the library's mysql-primary-loss in seconds.
const quickDrill = `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: quick}
spec:
  objectives: {rto: 30s}
  baseline: 1s
  stable: {for: 500ms, samples: 10}
  probes:
    - {name: write, kind: mysql-write, target: {component: mysql}, every: 10ms, timeout: 500ms}
  faults:
    - {name: kill-primary, kind: process-kill, target: {component: mysql, role: primary}}
  remediation:
    - {name: promote, kind: mysql-failover, target: {component: mysql}}
    - {name: switch, kind: route-switch, target: {component: mysql}}
`

// drill runs one drill, which puts everything back itself.
func (w *benchWorld) drill(home string, n int) time.Duration {
	w.b.Helper()
	k := drills.Catalogues{Injectors: injectors.All(builtin.Kinds()), Probes: probes.All(), Remedies: remedies.All(builtin.Kinds()), Topology: builtin.Kinds()}
	s, err := scenarios.Read("quick.yaml", []byte(quickDrill), nil, scenarios.Kinds{
		Faults: k.Injectors.Entries(), Probes: k.Probes.Entries(), Remedies: k.Remedies.Entries(),
		Components: k.Topology.Components.Entries(), Controls: k.Topology.Controls.Entries(), Routes: k.Topology.Routes.Entries(),
	})
	require.NoError(w.b, err)
	var f scenarios.TopologyFile
	f.Metadata.Name = "bench"
	f.Spec.Components = []topology.ComponentSpec{w.C.Spec}
	f.Spec.Routes = []topology.RouteSpec{w.C.Routes[0].Spec}
	d, err := scenarios.Compile(s, &f, k)
	require.NoError(w.b, err)
	dir, err := os.MkdirTemp(home, "run-")
	require.NoError(w.b, err)
	clean, err := drills.Run(w.b.Context(), d, drills.Options{
		Home: home, Dir: dir, RunID: fmt.Sprintf("bench%d", n), Seed: 1, Plugins: k,
		Watchdog: func(context.Context, string) error { return nil },
	})
	require.NoError(w.b, err)
	require.True(w.b, clean)
	w.rebuild()
	return remedied(w.b, dir)
}

// rebuild makes a member anew that the drill kept out: replication is
// asynchronous, so a primary that dies amid writes may have one that no replica
// has received.
func (w *benchWorld) rebuild() {
	w.b.Helper()
	st := w.Discover()
	left := st.With(topology.Detached)
	if len(left) == 0 {
		return
	}
	lost, from := w.Server(left[0]), w.Server(st.With(topology.Replica)[0])
	data := filepath.Join(lost.Dir, "data")
	require.NoError(w.b, lost.Stop(w.b.Context()))
	require.NoError(w.b, from.Stop(w.b.Context()))
	require.NoError(w.b, os.RemoveAll(data))
	for _, argv := range [][]string{
		{"cp", "-a", filepath.Join(from.Dir, "data"), data},
		{"rm", "-f", filepath.Join(data, "auto.cnf")}, // MySQL: the other's identity
		{"chown", "-R", "--reference", lost.Dir, data},
	} {
		out, err := exec.CommandContext(w.b.Context(), argv[0], argv[1:]...).CombinedOutput()
		require.NoError(w.b, err, "%q: %s", argv, out)
	}
	w.Start(from.Name)
	w.Start(lost.Name)
	_, steps, err := w.Restore(st)
	require.NoError(w.b, err, "%+v", steps)
	w.CaughtUp()
}

// remedied is how long it took from detection to the end of the last remedy.
func remedied(b *testing.B, dir string) time.Duration {
	rec, err := timeline.Read(dir)
	require.NoError(b, err)
	var from, to timeline.Offset
	ended := 0
	for _, m := range rec.Events {
		switch e := m.Payload.(type) {
		case timeline.Detected:
			from = m.T
		case timeline.RemedyEnded:
			require.Equal(b, "done", e.Outcome, e.Err)
			to, ended = m.T, ended+1
		}
	}
	require.Equal(b, 2, ended, "both remedies")
	return time.Duration(to - from)
}
