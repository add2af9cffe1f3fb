package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

// Pods that no route leads to can be looked at as a whole, and not be connected to.
func TestPodsWithoutRoute(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	topology := write("topology.yaml", `apiVersion: firedrill/v1
kind: Topology
metadata: {name: t}
spec:
  components:
    - {name: worker, kind: kubernetes, failover: automatic, with: {namespace: shop, selector: app=worker}}
`)
	scenario := func(probe string) string {
		return write(probe+".yaml", `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: s}
spec:
  objectives: {rto: 30s}
  probes:
    - {name: p, kind: `+probe+`, target: {component: worker}}
  faults:
    - {name: f, kind: pod-kill, target: {component: worker}}
`)
	}
	p := &program{home: t.TempDir()}
	out := p.run(t, "validate", scenario("kubernetes"), "--topology", topology)
	assert.Zero(t, out.code, out.stderr)
	out = p.run(t, "validate", scenario("http"), "--topology", topology)
	assert.Equal(t, verdict.ExitUsage, out.code)
	assert.Contains(t, out.stdout+out.stderr, "http.yaml:7:38: spec.probes[0].target: no route leads to component worker: add one to the topology")
}
