package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

// The disk of the run directory fills up: before the fault, after it, and when
// only the reports are missing. The drill ends, undoes everything and says why.
func TestRecordDiskFull(t *testing.T) {
	p := ill(t, "mysql")
	for _, c := range []struct {
		name, size string
		scenario   []string
		code       int
		fault      bool
		says       []string
	}{
		{"baseline", "size=20k", []string{"baseline: 1s", "baseline: 3s"}, verdict.ExitAborted, false, []string{"the record cannot be written", "(everything is put back)"}},
		// 20 KB are written in a second: some 35 KB before the fault.
		{"fault", "size=100k", []string{"stable: {for: 500ms", "stable: {for: 2s"}, verdict.ExitAborted, true, []string{"the record cannot be written", "(everything is put back)"}},
		// A record of some 45 KB, however slow the drill is, and reports of 100 KB.
		{"reports", "size=110k", []string{"every: 10ms", "every: 100ms"}, verdict.ExitInconclusive, true, []string{"everything was put back. The reports are not written", "make room, then firedrill report "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "disk")
			defer mount(t, dir, 0, c.size)()
			out := p.run(t, "run", quick(t, c.scenario...), "--lab", "mysql", "--out", filepath.Join(dir, "run"))
			assert.Equal(t, c.code, out.code, out.stderr)
			for _, s := range append(c.says, "no space left on device") {
				assert.Contains(t, out.stderr, s)
			}
			if c.fault {
				assert.Contains(t, out.stderr, " injected kill-primary")
			} else {
				assert.NotContains(t, out.stderr, "injecting")
			}
			p.whole(t)
		})
	}
}

// The disk of the journal fills up: what cannot be announced is not done.
func TestJournalDiskFull(t *testing.T) {
	p := ill(t, "mysql")
	journal := filepath.Join(p.home, "journal")
	for name, c := range map[string]struct {
		fill int
		says string
	}{
		"at once": {4096, "firedrill: nothing was touched: journal open: "},
		"soon":    {0, "journal intent: "},
	} {
		t.Run(name, func(t *testing.T) {
			defer mount(t, journal, 0, "size=4k")()
			require.NoError(t, os.WriteFile(filepath.Join(journal, "fill"), make([]byte, c.fill), 0o600))
			before := p.state(t)
			out := p.run(t, "run", quick(t), "--lab", "mysql", "--out", filepath.Join(t.TempDir(), "run"))
			assert.Equal(t, verdict.ExitAborted, out.code, out.stderr)
			assert.Contains(t, out.stderr, c.says)
			assert.Contains(t, out.stderr, "no space left on device")
			after := p.state(t)
			before.positions, after.positions = nil, nil
			assert.Equal(t, before, after)
			p.whole(t)
		})
	}
}
