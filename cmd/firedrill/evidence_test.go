package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/verdict"
)

// A record that was changed anywhere is found out, by verify and by report.
func TestEditedRecords(t *testing.T) {
	p := inLab(t, "mysql")
	dir := filepath.Join(t.TempDir(), "run")
	out := p.run(t, "run", quick(t), "--lab", "mysql", "--out", dir)
	require.Zero(t, out.code, out.stderr)
	out = p.run(t, "verify", dir)
	require.Zero(t, out.code, out.stderr)
	assert.Regexp(t, `: whole: \d+ events, chain and file digests hold; record sha256 [0-9a-f]{64}\n$`, out.stdout)

	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	lessOne := func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }
	for _, c := range []struct {
		file, says string
		edit       func([]byte) []byte
	}{
		{"run.jsonl", "event ", flip},
		{"run.jsonl", "the hash chain is broken", func(b []byte) []byte { return bytes.Replace(b, []byte("kill-primary"), []byte("kill-anybody"), 1) }},
		{"run.jsonl", "the record has no end", lessOne},
		{"samples.jsonl", "samples.jsonl does not have the digest", flip},
		{"samples.jsonl", "samples.jsonl does not have the digest", lessOne},
		{"samples.jsonl", "samples.jsonl", nil},
		{"ledger.write.bin", "ledger.write.bin does not have the digest", flip},
		{"ledger.write.readback.jsonl", "ledger.write.readback.jsonl does not have the digest", lessOne},
		{"ledger.write.bin", "ledger.write.bin", nil},
	} {
		edited := filepath.Join(t.TempDir(), "run")
		require.NoError(t, os.CopyFS(edited, os.DirFS(dir)))
		path := filepath.Join(edited, c.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		if c.edit != nil {
			require.NoError(t, os.WriteFile(path, c.edit(b), 0o600))
		}
		out := p.run(t, "verify", edited)
		assert.Equal(t, verdict.ExitInconclusive, out.code, "%s: %s", c.file, out.stderr)
		assert.Contains(t, out.stdout, c.says, c.file)
		out = p.run(t, "report", edited)
		assert.NotZero(t, out.code, "%s: an edited record proves nothing: %s", c.file, out.stdout)
	}
	out = p.run(t, "verify", t.TempDir())
	assert.Equal(t, verdict.ExitUsage, out.code)
	assert.Contains(t, out.stderr, "firedrill: read record")
}

// report writes every derived file anew, byte for byte the same.
func TestReportIsReproducible(t *testing.T) {
	p := inLab(t, "mysql")
	_, out := p.drill(t, "mysql", quick(t))
	require.Zero(t, out.code, out.stderr)
	dir := filepath.Dir(strings.TrimSpace(out.stdout))
	before := files(t, dir)
	elsewhere := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.CopyFS(elsewhere, os.DirFS(dir)))
	for _, name := range []string{"result.json", "report.html", "report.md", "junit.xml"} {
		require.NotEmpty(t, before[name])
		require.NoError(t, os.Remove(filepath.Join(elsewhere, name)))
	}
	for range 2 {
		require.Zero(t, p.run(t, "report", elsewhere).code)
		assert.Equal(t, before, files(t, elsewhere))
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(b)
	}
	return all
}

// Without a terminal progress is plain lines with RFC 3339 stamps; on one it is
// coloured, unless NO_COLOR is set.
func TestProgress(t *testing.T) {
	p := inLab(t, "mysql")
	_, out := p.drill(t, "mysql", quick(t))
	progress, summary, found := strings.Cut(out.stderr, "\n\nMET  quick on lab-mysql\n")
	require.True(t, found, out.stderr)
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \+\d+\.\d{3}s [a-z-]+ `)
	for line := range strings.SplitSeq(progress, "\n") {
		assert.Regexp(t, stamp, line)
	}
	assert.NotContains(t, out.stderr, "\x1b")
	for line := range strings.SplitSeq(summary, "\n") {
		assert.LessOrEqual(t, len([]rune(line)), 80+len(t.TempDir()), "the summary fits a terminal")
	}
	const colour = "\x1b[1;32m"
	assert.Contains(t, onTerminal(t, p), colour+"MET")
	plain := onTerminal(t, p.with("NO_COLOR=1"))
	assert.Contains(t, plain, "MET  quick on lab-mysql")
	assert.NotRegexp(t, `\x1b\[[0-9;]*m`, plain)
}

// onTerminal is what a drill shows on a terminal (script(1)).
func onTerminal(t *testing.T, p *program) string {
	t.Helper()
	c := p.command(t.Context(), "run", quick(t), "--lab", "mysql", "--out", filepath.Join(t.TempDir(), "run"))
	s := exec.CommandContext(t.Context(), "script", "-q", "-e", "-c", strings.Join(c.Args, " "), "/dev/null")
	s.Env = append(c.Env, "TERM=xterm")
	out, err := s.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// What a killed runner left is recovered once, which is said as text or as JSON;
// a run that finds it says so beside its own output.
func TestRecoverSaysWhatItDid(t *testing.T) {
	p := inLab(t, "mysql")
	killed := func() string {
		dir := filepath.Join(t.TempDir(), "run")
		out := p.with(dieAfter+"=4", noWatchdog+"=1").run(t, "run", quick(t), "--lab", "mysql", "--out", dir)
		require.Equal(t, -1, out.code, out.stderr)
		return dir
	}
	dir := killed()
	out := p.run(t, "recover", "-o", "json")
	require.Zero(t, out.code, out.stderr)
	var all []drills.Recovery
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &all), out.stdout)
	require.Len(t, all, 1)
	assert.Equal(t, dir, all[0].RunDir)
	require.Len(t, all[0].Undone, 3)
	assert.Equal(t, "kill-primary", all[0].Undone[0].Name)
	assert.FileExists(t, filepath.Join(dir, "report.html"))
	out = p.run(t, "recover", "-o", "json")
	assert.Equal(t, "[]\n", out.stdout)

	killed()
	out = p.run(t, "recover")
	require.Zero(t, out.code, out.stderr)
	assert.Regexp(t, `(?m)^run [0-9a-f]{8}: kill-primary: clean \(start db-\d again unless it runs\)$`, out.stdout)
	assert.Regexp(t, `(?m)^run [0-9a-f]{8}: write: clean \(drop table `, out.stdout)

	killed()
	out = p.run(t, "run", quick(t), "--lab", "mysql", "--out", filepath.Join(t.TempDir(), "run"), "-o", "json")
	require.Zero(t, out.code, out.stderr)
	var res verdict.Result
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &res), "nothing else is on stdout: %s", out.stdout)
	assert.Contains(t, out.stderr, ": kill-primary: clean (")
	p.healthy(t, "mysql")
}

// A run directory that is gone is no reason to leave anything behind, nor to
// refuse the next run.
func TestRunDirectoryIsGone(t *testing.T) {
	p := inLab(t, "mysql")
	dir := filepath.Join(t.TempDir(), "run")
	out := p.with(dieAfter+"=4", noWatchdog+"=1").run(t, "run", quick(t), "--lab", "mysql", "--out", dir)
	require.Equal(t, -1, out.code, out.stderr)
	require.NoError(t, os.RemoveAll(dir))
	out = p.run(t, "recover")
	assert.Zero(t, out.code, out.stderr)
	assert.Contains(t, out.stdout, "kill-primary: clean")
	assert.Equal(t, "Nothing to recover.\n", p.run(t, "recover").stdout)
	p.healthy(t, "mysql")
}
