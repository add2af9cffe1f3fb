package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run with -update to write it")
	assert.Equal(t, string(want), string(got), "%s: run with -update if the change is meant", file)
}

func TestGolden(t *testing.T) {
	for _, f := range reportstest.All() {
		if f.Name == "big" {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			var md, junit, text bytes.Buffer
			require.NoError(t, Markdown(&md, f.Result))
			require.NoError(t, JUnit(&junit, f.Result))
			require.NoError(t, summary(&text, f.Result, "runs/20260214T091212-mysql-primary-loss-7f3k", false))
			golden(t, f.Name+".md", md.Bytes())
			golden(t, f.Name+".xml", junit.Bytes())
			golden(t, f.Name+".txt", text.Bytes())
		})
	}
}

// The same result gives the same bytes in every format, whatever the order in
// which maps are walked.
func TestDeterministic(t *testing.T) {
	for _, format := range All() {
		for _, f := range reportstest.All() {
			var first, again bytes.Buffer
			require.NoError(t, format.Render(&first, f.Result))
			require.NoError(t, format.Render(&again, f.Result))
			require.True(t, bytes.Equal(first.Bytes(), again.Bytes()), "%s of %s", format.Name, f.Name)
		}
	}
}

func TestAll(t *testing.T) {
	files := map[string]string{}
	for _, f := range All() {
		files[f.Name] = f.File
	}
	assert.Equal(t, map[string]string{"json": "result.json", "html": "report.html", "markdown": "report.md", "junit": "junit.xml"}, files)
}

func TestJSON(t *testing.T) {
	r := reportstest.Met()
	var b bytes.Buffer
	require.NoError(t, JSON(&b, r))
	assert.True(t, strings.HasSuffix(b.String(), "}\n"))
	var back verdict.Result
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	r.Picture = verdict.Picture{}
	assert.Equal(t, r.Objectives, back.Objectives)
	assert.Equal(t, r.Ledgers, back.Ledgers)
}

func TestJUnitCounts(t *testing.T) {
	for name, want := range map[string][4]int{ // tests, failures, errors, skipped
		"met": {10, 0, 0, 0}, "missed": {10, 3, 0, 0}, "inconclusive": {10, 0, 4, 0}, "dirty": {10, 1, 1, 0}, "aborted": {10, 0, 0, 4}, "native": {10, 0, 0, 0},
		"llm-met": {14, 0, 0, 0}, "llm-missed": {14, 2, 0, 0}, "llm-partial": {14, 5, 1, 0},
		"pods-lost": {6, 0, 0, 0},
	} {
		var b bytes.Buffer
		require.NoError(t, JUnit(&b, fixture(t, name)))
		var s junit.Testsuites
		require.NoError(t, xml.Unmarshal(b.Bytes(), &s))
		assert.Equal(t, want, [4]int{s.Tests, s.Failures, s.Errors, s.Skipped}, name)
		assert.Len(t, s.Suites, 4)
	}
}

// What a server says must not break the file that it ends up in.
func TestHostileText(t *testing.T) {
	evil := "\x1b[31mred\x00 | `x` <script>alert(1)</script> & ]]> \u202e [a](b)\nsecond @all"
	r := reportstest.Dirty()
	r.Sentence, r.Scenario, r.Caveats = evil, evil, []string{evil}
	r.Reasons, r.Cleanup.Leftovers = []string{evil}, []string{evil}
	r.Faults[0].Error, r.Faults[0].ConfirmedBy, r.Objectives[0].Why = evil, evil, evil
	// Ids of requests are our own.
	r.Requests = []verdict.RequestsResult{{
		Component: evil, Expected: evil, Tally: verdict.Tally{Requests: 1, By: map[string]uint64{evil: 1}},
		Stages: []verdict.RequestStage{{Name: evil, Tally: verdict.Tally{Requests: 1, By: map[string]uint64{evil: 1}}}},
		IDs:    map[string][]verdict.RequestID{"truncated": {{ID: "run-chat-1", Probe: evil, By: evil, What: evil}}},
	}}
	r.Remedies[0].Steps[0].Detail, r.Picture.Faults[0].Detail, r.Ledgers[0].IDs = evil, evil, map[string][]string{evil: {evil}}
	var html, md, ju, text bytes.Buffer
	require.NoError(t, HTML(&html, r))
	lacks(t, html.String(), "<script>alert")
	lacks(t, html.String(), "\x1b")
	require.NoError(t, JUnit(&ju, r))
	require.NoError(t, xml.Unmarshal(ju.Bytes(), &junit.Testsuites{}))
	require.NoError(t, Markdown(&md, r))
	lacks(t, md.String(), "<script>")
	lacks(t, md.String(), "@all")
	require.NoError(t, summary(&text, r, "", true))
	for _, out := range []string{md.String(), text.String()} {
		lacks(t, out, "\x1b[31mred")
		lacks(t, out, "\u202e")
	}
}

// Nothing that was left out may end a report in a panic or in a claim.
func TestZeroResult(t *testing.T) {
	for _, format := range All() {
		var b bytes.Buffer
		require.NoError(t, format.Render(&b, verdict.Result{}), format.Name)
		lacks(t, b.String(), "Met:")
	}
	var b bytes.Buffer
	require.NoError(t, summary(&b, verdict.Result{}, "", false))
	assert.Contains(t, b.String(), "INCONCLUSIVE")
}

// Numbers that are fine in a drill that is not valid are no success, in no format.
func TestNothingIsMetInAnInvalidDrill(t *testing.T) {
	r := reportstest.Met()
	r.Verdict, r.ExitCode, r.Reasons = verdict.Inconclusive, verdict.ExitInconclusive, []string{"the record is not whole"}
	var ju, md, text bytes.Buffer
	require.NoError(t, JUnit(&ju, r))
	var s junit.Testsuites
	require.NoError(t, xml.Unmarshal(ju.Bytes(), &s))
	assert.Equal(t, 3, s.Errors)
	require.NoError(t, Markdown(&md, r))
	lacks(t, md.String(), "**Met**")
	require.NoError(t, summary(&text, r, "", false))
	lacks(t, text.String(), "Met")
	assert.Equal(t, verdict.Met, r.Objectives[0].Verdict, "the result itself is not written to")
}

func TestSummaryFits(t *testing.T) {
	for _, f := range reportstest.All() {
		var b bytes.Buffer
		require.NoError(t, Summary(&b, f.Result, "runs/x"))
		assert.NotContains(t, b.String(), "\x1b", "not a terminal: no colour")
		for line := range strings.Lines(b.String()) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
		}
	}
}

func fixture(t *testing.T, name string) verdict.Result {
	t.Helper()
	for _, f := range reportstest.All() {
		if f.Name == name {
			return f.Result
		}
	}
	t.Fatalf("no fixture %s", name)
	return verdict.Result{}
}

// lacks does not print the whole page when it fails.
func lacks(t *testing.T, s, part string) {
	t.Helper()
	if i := strings.Index(s, part); i >= 0 {
		t.Errorf("%q is there: %q", part, s[max(0, i-80):min(len(s), i+80)])
	}
}
