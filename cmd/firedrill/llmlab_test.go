package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
	"firedrill/injectors/faultpoint"
	"firedrill/lab"
	"firedrill/lab/vendor"
	"firedrill/scenarios"
)

// modelLab is a lab of models, looked at behind firedrill's back: through the
// vendors' own logs and the fault point's.
type modelLab struct {
	*patient
	c *topology.Component
}

// served returns a lab of models that is up and healthy.
func served(t *testing.T, name string) *modelLab {
	t.Helper()
	l := &modelLab{patient: ill(t, name)}
	require.Equal(t, lab.Healthy, l.now.State, l.now.Problems)
	f, err := scenarios.LoadTopology(l.now.Topology, entries())
	require.NoError(t, err)
	top, err := f.Open(plugins().Topology)
	require.NoError(t, err)
	l.c, err = top.Component(lab.ModelsComponent)
	require.NoError(t, err)
	return l
}

// admin is a vendor's own side door.
func (l *modelLab) admin(t *testing.T, member string) *vendor.Admin {
	t.Helper()
	return vendor.NewAdmin(filepath.Join(l.member(t, member).Dir, "admin.sock"))
}

// point is the fault point's.
func (l *modelLab) point() *faultpoint.Client {
	return faultpoint.NewClient(l.c.Spec.FaultPoint.Socket)
}

// service is a process of the lab that is no member.
func (l *modelLab) service(t *testing.T, name string) lab.MemberStatus {
	t.Helper()
	l.look(t)
	i := slices.IndexFunc(l.now.Services, func(m lab.MemberStatus) bool { return m.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return l.now.Services[i]
}

// whole waits until the lab is as it was when it was new, by nobody's doing but that
// of the drill that has ended.
func (l *modelLab) whole(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		st, err := lab.StatusOf(t.Context(), l.home, l.lab)
		require.NoError(c, err)
		require.Equal(c, lab.Healthy, st.State, st.Problems)
	}, 20*time.Second, 50*time.Millisecond)
	l.look(t)
	st, err := l.point().State(t.Context())
	require.NoError(t, err)
	assert.Empty(t, st.Faults)
	out := l.run(t, "recover")
	assert.Equal(t, "Nothing to recover.\n", out.stdout, out.stderr)
	assert.Zero(t, out.code)
}

// outage writes a copy of the scenario llm-vendor-outage that takes seconds.
func outage(t *testing.T, replace ...string) string {
	t.Helper()
	return brief(t, "llm-vendor-outage", append([]string{`healAfter: 5s`, "healAfter: 1s"}, replace...)...)
}

// brief writes a copy of one of the library's scenarios for models that takes seconds,
// with each first of replace (a regular expression) replaced by the second.
func brief(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../scenarios/library/" + name + ".yaml")
	require.NoError(t, err)
	replace = append([]string{
		`baseline: 5s`, "baseline: 1s", `for: 3s`, "for: 1s", `every: \d+ms`, "every: 100ms", `timeout: \ds`, "timeout: 1500ms",
	}, replace...)
	for i := 0; i+1 < len(replace); i += 2 {
		re := regexp.MustCompile("(?m)" + replace[i])
		require.Regexp(t, re, string(text))
		text = re.ReplaceAllLiteral(text, []byte(replace[i+1]))
	}
	path := filepath.Join(t.TempDir(), name+".yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// Replacements in the scenario.
const (
	// theFault is the fault as the file has it.
	theFault = `    - name: vendor-gone\n      kind: llm-fault(?:.|\n)*?delay: \$\{delay\}\n`
	// theRemedy is the remediation.
	theRemedy = `  remediation:\n(?:.|\n)*?component: llm\n`
	// theMembers is the limit on how many may be touched.
	theMembers = `members: 1`
	// theFailBack is its objective, which takes its time to be judged.
	theFailBack = `    failBack: .*\n`
	// theLongest is the drill's longest time.
	theLongest = `duration: 1m`
)

// on is a fault of the scenario's kind and mode, on a member; with "" on all.
func on(name, member string) string {
	if member != "" {
		member = ", member: " + member
	}
	return "    - {name: " + name + ", kind: llm-fault, target: {component: llm" + member + "}, with: {mode: \"${mode}\", status: \"${status}\"}}\n"
}

// account is what a run's requests came to, as firedrill tells it and as those who
// served them do.
type account struct {
	verdict.Result
	dir string
	out output
	rec *timeline.Record
	// asked are the samples by the ids of their requests.
	asked map[string]timeline.Sample
	// entries are the vendors' own, of this run, in the order of their arrival.
	entries []vendor.Entry
	// wire are the fault point's, of this run.
	wire []timeline.Exchange
}

// drills runs a scenario on the lab.
func (l *modelLab) drills(t *testing.T, scenario string) *account {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	out := l.run(t, "run", scenario, "--lab", l.lab, "--out", dir)
	a := l.account(t, dir, out)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.stderr)
		}
	})
	return a
}

// account reads what a run left, and asks the vendors.
func (l *modelLab) account(t *testing.T, dir string, out output) *account {
	t.Helper()
	a := &account{Result: l.result(t, dir, out), dir: dir, out: out, asked: map[string]timeline.Sample{}}
	var err error
	a.rec, err = timeline.Read(dir)
	require.NoError(t, err)
	all, err := a.rec.ReadSamples()
	require.NoError(t, err)
	for _, s := range slices.Concat(all...) {
		if s.Request != nil {
			a.asked[s.Request.ID] = s
		}
	}
	exchanges, _, err := a.rec.ReadExchanges()
	require.NoError(t, err)
	for _, x := range exchanges {
		if a.own(x.ID) {
			a.wire = append(a.wire, x)
		}
	}
	for _, m := range l.now.Members {
		log, err := l.admin(t, m.Name).Log(t.Context())
		require.NoError(t, err)
		a.add(log)
	}
	return a
}

// add takes in the entries of a log that are of this run.
func (a *account) add(log []vendor.Entry) {
	for _, e := range log {
		if a.own(e.ID) {
			a.entries = append(a.entries, e)
		}
	}
	slices.SortStableFunc(a.entries, func(x, y vendor.Entry) int { return x.From.Compare(y.From) })
}

// own tells whether a request is one of the run's probes.
func (a *account) own(id string) bool { return strings.HasPrefix(id, a.RunID+"-") }

// at is an offset of the record on the wall clock.
func (a *account) at(o timeline.Offset) time.Time {
	return a.rec.Started.StartedAt.Add(time.Duration(o))
}

// listed are the ids that the result lists under a class, in order.
func (a *account) listed(t *testing.T, class string) []string {
	t.Helper()
	require.Len(t, a.Requests, 1)
	require.Zero(t, a.Requests[0].Unlisted[class], "not all are listed")
	ids := []string{}
	for _, r := range a.Requests[0].IDs[class] {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// where are the ids of the vendors' entries that fit, in order.
func (a *account) where(fits func(vendor.Entry) bool) []string {
	ids := map[string]bool{}
	for _, e := range a.entries {
		if fits(e) {
			ids[e.ID] = true
		}
	}
	return sorted(slices.AppendSeq([]string{}, maps.Keys(ids)))
}

// hit are the ids of the requests that the fault point did something to, in order.
func (a *account) hit(what faultpoint.Mode) []string {
	ids := map[string]bool{}
	for _, x := range a.wire {
		if x.Fault == string(what) {
			ids[x.ID] = true
		}
	}
	return sorted(slices.AppendSeq([]string{}, maps.Keys(ids)))
}

// agrees compares what firedrill says of each request with the vendors' own logs:
// who answered it in full, how many did, and that nobody served what was not asked.
func (a *account) agrees(t *testing.T) {
	t.Helper()
	require.Len(t, a.Requests, 1)
	whole := map[string]map[string]int{} // by id and vendor
	for _, e := range a.entries {
		assert.Contains(t, a.asked, e.ID, "%s served what was not asked", e.Vendor)
		if e.Complete {
			if whole[e.ID] == nil {
				whole[e.ID] = map[string]int{}
			}
			whole[e.ID][e.Vendor]++
		}
	}
	by, twice := map[string]uint64{}, []string{}
	for id, s := range a.asked {
		n := 0
		for _, times := range whole[id] {
			n += times
		}
		if n > 1 {
			twice = append(twice, id)
		}
		switch s.Request.Outcome {
		case timeline.Whole, timeline.Wrong:
			assert.Contains(t, whole[id], s.By, "%s: %s is said to have answered", id, s.By)
		case timeline.Cut, timeline.Failed, timeline.Unanswered:
		default:
			assert.Fail(t, "no such outcome", "%s: %q", id, s.Request.Outcome)
		}
		if s.Request.Outcome == timeline.Whole && s.Class != timeline.NoData {
			by[s.By]++
		}
	}
	assert.Equal(t, by, a.Requests[0].By)
	if a.Requests[0].AnsweredTwice != nil {
		same(t, twice, a.listed(t, "answered_twice"), "answered twice")
		assert.EqualValues(t, len(twice), *a.Requests[0].AnsweredTwice)
	}
}

// same compares two sets of requests, and tells only the differences.
func same(t *testing.T, want, got []string, what string) {
	t.Helper()
	lacks := slices.DeleteFunc(slices.Clone(want), func(id string) bool { return slices.Contains(got, id) })
	extra := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return slices.Contains(want, id) })
	assert.Empty(t, lacks, "%s: %d wanted, these are missing", what, len(want))
	assert.Empty(t, extra, "%s: %d wanted, these are too many", what, len(want))
}

// says fails the test unless a report of the run has each text.
func (a *account) says(t *testing.T, report string, texts ...string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, report))
	require.NoError(t, err)
	for _, text := range texts {
		if !strings.Contains(string(b), text) { // the page itself would fill the log
			assert.Fail(t, "not in "+report, text)
		}
	}
}

// objective is the result's of that name.
func (a *account) objective(t *testing.T, name string) verdict.ObjectiveResult {
	t.Helper()
	i := slices.IndexFunc(a.Objectives, func(o verdict.ObjectiveResult) bool { return o.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return a.Objectives[i]
}

// missed are the names of the objectives that are.
func (a *account) missed() []string {
	names := []string{}
	for _, o := range a.Objectives {
		if o.Verdict == verdict.Missed {
			names = append(names, o.Name)
		}
	}
	return names
}

// event returns the first payload of its type in the record, and when it was.
func event[T any](t *testing.T, a *account) (payload T, at time.Time) {
	t.Helper()
	for _, e := range a.rec.Events {
		if p, ok := e.Payload.(T); ok {
			return p, a.at(e.T)
		}
	}
	require.Fail(t, "no such event", "%T", payload)
	return payload, at
}
