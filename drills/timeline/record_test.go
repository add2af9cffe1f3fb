package timeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// begun starts a record with a plan of one series.
func begun(t *testing.T) (*Writer, string) {
	t.Helper()
	dir := t.TempDir()
	w, err := Create(dir, NewClock())
	require.NoError(t, err)
	plan := Plan{Scenario: "s", Topology: "t", Series: []Series{{Probe: "p", Client: "fresh"}}}
	digest, err := PlanDigest(plan)
	require.NoError(t, err)
	_, err = w.Append(Started{RunID: "r", StartedAt: time.Now().UTC(), Plan: plan, PlanDigest: digest})
	require.NoError(t, err)
	return w, dir
}

// ended closes a record the way a run does.
func ended(t *testing.T, w *Writer, dir string) {
	t.Helper()
	require.NoError(t, w.Seal())
	d, err := FileDigest(filepath.Join(dir, SamplesFile))
	require.NoError(t, err)
	_, err = w.Append(Ended{FinishedAt: time.Now().UTC(), Files: map[string]string{SamplesFile: d}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
}

func TestRecordRoundTrip(t *testing.T) {
	w, dir := begun(t)
	_, err := w.Append(Confirmed{Fault: "f", By: "procfs"})
	require.NoError(t, err)
	w.Sample(Sample{N: 1, Start: 20, End: 30, Class: OK})
	w.Sample(Sample{N: 0, Start: 10, End: 40, Class: Refused, Detail: "x"})
	ended(t, w, dir)

	rec, err := Read(dir)
	require.NoError(t, err)
	assert.Empty(t, rec.Broken)
	require.NotNil(t, rec.Ended)
	assert.Equal(t, Confirmed{Fault: "f", By: "procfs"}, rec.Events[1].Payload)
	ss, err := rec.ReadSamples()
	require.NoError(t, err)
	require.Len(t, ss[0], 2)
	assert.Equal(t, int64(0), ss[0][0].N, "samples are sorted by start")
	assert.Equal(t, Refused, ss[0][0].Class)
}

func TestTamperingIsSeen(t *testing.T) {
	edit := func(name, from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(b), from)
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(b), from, to, 1)), 0o644))
		}
	}
	for name, c := range map[string]struct {
		tamper func(*testing.T, string)
		want   string
	}{
		"event changed":  {edit(EventsFile, `"by":"procfs"`, `"by":"nobody"`), "hash chain is broken"},
		"event removed":  {edit(EventsFile, `"type":"confirmed"`, `"type":"detected"`), "hash chain is broken"},
		"plan changed":   {edit(EventsFile, `"scenario":"s"`, `"scenario":"z"`), "plan does not have the digest"},
		"sample changed": {edit(SamplesFile, `"c":"refused"`, `"c":"ok"`), SamplesFile + " does not have the digest"},
		"torn":           {edit(EventsFile, "\n", ""), "event 0"},
	} {
		t.Run(name, func(t *testing.T) {
			w, dir := begun(t)
			_, err := w.Append(Confirmed{Fault: "f", By: "procfs"})
			require.NoError(t, err)
			w.Sample(Sample{Class: Refused})
			ended(t, w, dir)
			c.tamper(t, dir)
			rec, err := Read(dir)
			if err != nil {
				assert.ErrorContains(t, err, c.want)
				return
			}
			assert.Contains(t, strings.Join(rec.Broken, "\n"), c.want)
		})
	}
}

func TestResumeContinuesTheChain(t *testing.T) {
	w, dir := begun(t)
	require.NoError(t, w.Close())
	f, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"seq":1,"t":12,"ty`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	again, err := Resume(dir)
	require.NoError(t, err)
	_, err = again.Append(StopRequested{Why: "the runner died"})
	require.NoError(t, err)
	ended(t, again, dir)
	rec, err := Read(dir)
	require.NoError(t, err)
	assert.Empty(t, rec.Broken)
	assert.Len(t, rec.Events, 3)
}

func TestUnendedRecordIsNotWhole(t *testing.T) {
	w, dir := begun(t)
	require.NoError(t, w.Close())
	rec, err := Read(dir)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(rec.Broken, "\n"), "no end")
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w, _ := begun(t)
	require.NoError(t, w.events.Close())
	_, err := w.Append(Caveat{Text: "x"})
	require.Error(t, err)
	assert.ErrorIs(t, w.Err(), os.ErrClosed)
}

func TestEventType(t *testing.T) {
	assert.Equal(t, "phase-began", EventType(PhaseBegan{}))
	assert.Equal(t, "gap", EventType(Gap{}))
}
