package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/journal"
	"firedrill/drills/verdict"
	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// modelTrouble is something that is wrong before an outage of a vendor is drilled.
type modelTrouble struct {
	name string
	// topology are replacements in a copy of the lab's topology file, each a regular
	// expression and what stands there instead; KEY stands for a file with a key that
	// has expired.
	topology []string
	// spoil makes it wrong behind firedrill's back; what it returns puts it right.
	spoil func(t *testing.T, l *modelLab) (mend func())
}

func modelTroubles() []modelTrouble {
	first := func(m vendor.Mode) func(*testing.T, *modelLab) func() {
		return func(t *testing.T, l *modelLab) func() {
			a := l.admin(t, "vendor-a")
			require.NoError(t, a.SetMode(t.Context(), m))
			return func() { require.NoError(t, a.SetMode(t.Context(), vendor.Mode{})) }
		}
	}
	asked := []string{vendor.OpChat, vendor.OpEmbedding}
	return []modelTrouble{
		{name: "route-leads-to-nobody", topology: []string{`address: 127\.0\.53\.10:8080`, "address: 127.0.53.10:8099"}},
		{name: "base-path-wrong", topology: []string{`^    with:\n      identify:`, "    with:\n      basePath: /api\n      identify:"}},
		{name: "scheme-wrong", topology: []string{`^    with:\n      identify:`, "    with:\n      scheme: https\n      identify:"}},
		{name: "model-unknown", topology: []string{`chat: lab-chat`, "chat: gpt-x"}},
		{name: "key-of-applications-expired", topology: []string{`^      key: .*`, "      key: file:KEY"}},
		{name: "key-of-a-vendor-expired", topology: []string{`(selfhosted-c:\n          key): .*`, "$1: file:KEY"}},
		{name: "key-file-missing", topology: []string{`^      key: .*`, "      key: file:/nowhere/key"}},
		{name: "vendor-refuses-the-key", spoil: first(vendor.Mode{Name: vendor.Unauthorized})},
		{name: "vendor-refuses-the-key-when-asked", spoil: first(vendor.Mode{Name: vendor.Unauthorized, Ops: asked})},
		{name: "vendor-answers-html", spoil: first(vendor.Mode{Name: vendor.HTML})},
		{name: "vendor-answers-html-when-asked", spoil: first(vendor.Mode{Name: vendor.HTML, Ops: asked})},
		{name: "vendor-is-down", spoil: first(vendor.Mode{Name: vendor.Refused})},
		{name: "vendor-hangs", spoil: first(vendor.Mode{Name: vendor.BlackHole})},
		{name: "fault-point-is-elsewhere", topology: []string{`socket: .*fault-point.*`, "socket: /nowhere/admin.sock"}},
		{name: "fault-point-listens-elsewhere", topology: []string{`vendor-a: 127\.0\.53\.21:8000$`, "vendor-a: 127.0.53.22:8000"}},
		{name: "no-fault-point-for-the-vendor", topology: []string{`^        vendor-a: 127\.0\.53\.21:8000\n`, "", `^          vendor-a: vendor-a\.models\.lab\n`, ""}},
		{name: "no-fault-point", topology: []string{`^    faultPoint:\n(?:      .*\n)*`, ""}},
		{name: "fault-is-there-already", spoil: func(t *testing.T, l *modelLab) func() {
			require.NoError(t, l.point().Set(t.Context(), faultpoint.Fault{
				ID: "other", Members: []string{"vendor-a"}, Mode: faultpoint.Latency, Delay: 1000, Share: 1, Expires: time.Now().Add(time.Hour),
			}))
			return func() { require.NoError(t, l.point().Clear(t.Context(), "other")) }
		}},
	}
}

// Everything that can be wrong with models, keys and fault points before a drill is
// said plainly, and nothing is touched. The messages are in testdata/llmtrouble.
func TestModelTrouble(t *testing.T) {
	l := served(t, "llm-manual")
	for _, c := range modelTroubles() {
		t.Run(c.name, func(t *testing.T) { l.trouble(t, c) })
	}
	l.whole(t)
}

func (l *modelLab) trouble(t *testing.T, c modelTrouble) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "topology.yaml")
	require.NoError(t, os.WriteFile(key, []byte(wrong+"\n"), 0o600))
	text, err := os.ReadFile(l.now.Topology)
	require.NoError(t, err)
	edited := string(text)
	for i := 0; i+1 < len(c.topology); i += 2 {
		edited = replaced(t, edited, c.topology[i], strings.ReplaceAll(c.topology[i+1], "KEY", key))
	}
	require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
	if c.spoil != nil {
		defer c.spoil(t, l)()
	}
	before := l.untouched(t)
	out := l.run(t, "run", outage(t, `baseline: 1s`, "baseline: 300ms"), "--topology", file, "--out", filepath.Join(dir, "run"))
	require.Equal(t, verdict.ExitAborted, out.code, out.stderr)
	assert.Equal(t, before, l.untouched(t))
	res := l.result(t, filepath.Join(dir, "run"), out)
	require.Len(t, res.Reasons, 1)
	assert.True(t, strings.HasSuffix(res.Sentence, "; nothing was touched."), res.Sentence)
	assert.Empty(t, res.Faults)
	for _, name := range []string{"run.jsonl", "samples.jsonl", "result.json", "report.html"} {
		b, err := os.ReadFile(filepath.Join(dir, "run", name))
		require.NoError(t, err)
		assert.NotContains(t, string(b), wrong, name)
	}
	said := strings.NewReplacer(dir, "DIR", filepath.Dir(l.now.Members[0].Dir), "SERVERS").Replace(res.Reasons[0])
	golden(t, filepath.Join("testdata", "llmtrouble", c.name+".txt"), said+"\n")
}

// replaced replaces a regular expression that must be there.
func replaced(t *testing.T, text, was, is string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + was)
	require.Regexp(t, re, text)
	return re.ReplaceAllString(text, is)
}

// untouched is what of a lab a drill that is refused must not change.
func (l *modelLab) untouched(t *testing.T) any {
	t.Helper()
	st, err := l.point().State(t.Context())
	require.NoError(t, err)
	for i := range st.Faults {
		st.Faults[i].Hits = 0 // whoever looks is hit
	}
	for _, m := range append(l.now.Members, l.now.Services...) {
		require.NoError(t, syscall.Kill(m.PID, 0), m.Name)
	}
	leads, err := l.c.Routes[0].Router.Current(t.Context())
	require.NoError(t, err)
	left, err := journal.List(filepath.Join(l.home, "journal"))
	require.NoError(t, err)
	return []any{st.Instance, st.Faults, leads, left}
}

// What is wrong in the scenario itself is said with its place in the file, before
// anything is contacted.
func TestModelScenarioIsWrong(t *testing.T) {
	p := &program{home: t.TempDir()}
	for _, c := range []struct{ was, is, says string }{
		{`mode: status`, "mode: statsu", `spec.faults[0].with.mode: "statsu" is not allowed: want one of refused, `},
		{`share: 1\.0`, "share: 1.5", `spec.faults[0].with.share`},
		{`share: 1\.0`, "share: -0.1", `spec.faults[0].with.share`},
		{`share: 1\.0`, "share: 0.0", `spec.faults[0].with.share`},
		{`share: 1\.0`, "share: all", `spec.faults[0].with.share`},
		{`status: 503`, "status: 200", `spec.faults[0].with.status`},
		{`^        delay: .*`, "        dealy: 1s", `spec.faults[0].with.dealy: unknown key: did you mean "delay"?`},
		{`availability: 0.9 `, "availability: 90 ", `spec.objectives.availability`},
		{`stream: true`, "stream: true\n        parameters: {user: me}", `spec.probes[0].with`},
	} {
		scenario := outage(t, c.was, c.is)
		out := p.run(t, "run", scenario, "--topology", "../../scenarios/library/topology-llm.yaml", "--yes")
		assert.Equal(t, verdict.ExitUsage, out.code, c.is)
		assert.Regexp(t, `^`+regexp.QuoteMeta(scenario)+`:\d+:\d+: `, out.stderr)
		assert.Contains(t, out.stderr, c.says)
	}
}
