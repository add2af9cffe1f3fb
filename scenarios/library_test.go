package scenarios_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/remedies"
	"firedrill/drills/topology/builtin"
	"firedrill/injectors"
	"firedrill/probes"
	"firedrill/scenarios"
)

// The library is tested with the real plug-ins.
func plugins() (drills.Catalogues, scenarios.Kinds) {
	t := builtin.Kinds()
	c := drills.Catalogues{Injectors: injectors.All(t), Probes: probes.All(), Remedies: remedies.All(t), Topology: t}
	return c, scenarios.Kinds{
		Faults: c.Injectors.Entries(), Probes: c.Probes.Entries(), Remedies: c.Remedies.Entries(),
		Components: t.Components.Entries(), Controls: t.Controls.Entries(), Routes: t.Routes.Entries(),
	}
}

func TestLibraryFitsALab(t *testing.T) {
	c, k := plugins()
	files, err := fs.Glob(scenarios.Library(), "*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	readme, err := fs.ReadFile(scenarios.Library(), "README.md")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasPrefix(file, "topology") {
			continue
		}
		t.Run(file, func(t *testing.T) {
			name := strings.TrimSuffix(file, ".yaml")
			f, err := scenarios.Load(name, map[string]string{"rto": "30s"}, k)
			require.NoError(t, err)
			assert.Equal(t, name, f.Metadata.Name)
			assert.Contains(t, string(readme), "`"+name+"`")
			of, own := fits[name]
			if family, _, _ := strings.Cut(name, "-"); !own {
				of = fits[family]
			}
			require.NotEmpty(t, of.topologies, "which topologies does %s fit?", name)
			for _, path := range of.topologies {
				top, err := scenarios.LoadTopology(path, k)
				require.NoError(t, err)
				d, err := scenarios.Compile(f, top, c)
				require.NoError(t, err)
				var names []string
				for _, o := range d.Plan.Objectives {
					names = append(names, o.Component+" "+o.Name)
				}
				assert.Equal(t, of.objectives, names)
				assert.Equal(t, 30*time.Second, d.Plan.Objectives[0].Target)
			}
		})
	}
}

// fits are the topologies that each family of scenarios, or one that differs, must fit,
// and what is judged there.
var fits = map[string]struct{ topologies, objectives []string }{
	"mysql": {
		[]string{"testdata/good/lab-topology.yaml", "library/topology.yaml"},
		[]string{"orders-db rto", "orders-db rpo"},
	},
	"pod":  {[]string{"library/topology-kubernetes.yaml"}, []string{"api rto"}},
	"node": {[]string{"library/topology-kubernetes.yaml"}, []string{"api rto"}},
	"llm": {
		[]string{"library/topology-llm.yaml"},
		[]string{
			"models rto", "models availability", "models fallback", "models first-token-p95",
			"models truncated", "models wrong-embeddings", "models fail-back",
		},
	},
	"llm-instance-loss": {
		[]string{"library/topology-llm.yaml"},
		[]string{
			"models rto", "models availability", "models truncated", "models wrong-embeddings", "models fail-back",
		},
	},
}

func TestPrimaryLossMeasuresWhatClientsGet(t *testing.T) {
	c, k := plugins()
	top, err := scenarios.LoadTopology("testdata/good/lab-topology.yaml", k)
	require.NoError(t, err)
	f, err := scenarios.Load("mysql-primary-loss", map[string]string{"signal": "TERM"}, k)
	require.NoError(t, err)
	d, err := scenarios.Compile(f, top, c)
	require.NoError(t, err)
	var judged []string
	for _, s := range d.Plan.Series {
		assert.Equal(t, "127.0.0.10:3306", s.Address, s.Name())
		if s.Judged {
			judged = append(judged, s.Name())
		}
	}
	assert.Equal(t, []string{"write/fresh", "write/pooled", "read/fresh", "read/pooled"}, judged)
	require.Len(t, d.Plan.Faults, 1)
	assert.Equal(t, "primary of orders-db", d.Plan.Faults[0].Target)
	assert.JSONEq(t, `{"signal":"TERM"}`, string(d.Faults[0].With))
	assert.Len(t, d.Plan.Remedies, 2)
}

// A fault that hits only a part of the requests is marked as such: those that it lets
// pass are nobody's fail-over.
func TestPlanTellsWhichFaultsAreNarrow(t *testing.T) {
	c, k := plugins()
	top, err := scenarios.LoadTopology("library/topology-llm.yaml", k)
	require.NoError(t, err)
	for name, want := range map[string]bool{"share=1.0": false, "mode=quota": false, "share=0.3": true, "mode=malformed-sse": true, "mode=refused": false} {
		key, value, _ := strings.Cut(name, "=")
		f, err := scenarios.Load("llm-vendor-outage", map[string]string{key: value}, k)
		require.NoError(t, err)
		d, err := scenarios.Compile(f, top, c)
		require.NoError(t, err)
		assert.Equal(t, want, d.Plan.Faults[0].Narrow, name)
	}
}
