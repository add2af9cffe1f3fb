package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/scenarios"
)

// commands yields every command that people see, with the arguments that lead to it.
func commands(c *cobra.Command, path ...string) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		at := append(path[:len(path):len(path)], sub.Name())
		all[strings.Join(at, " ")] = sub
		for k, v := range commands(sub, at...) {
			all[k] = v
		}
	}
	return all
}

// Every command explains itself, with an example.
func TestHelp(t *testing.T) {
	for path, c := range commands(newRoot(nil)) {
		var out, errs bytes.Buffer
		code := execute(append(strings.Fields(path), "-h"), nil, &out, &errs, nil)
		assert.Zero(t, code, path)
		assert.Empty(t, errs.String(), path)
		assert.Contains(t, out.String(), "Usage:\n  firedrill "+path, path)
		assert.Contains(t, c.Example, "  firedrill "+path, "%s has no example of itself", path)
		assert.Contains(t, out.String(), c.Example, path)
		for _, line := range strings.Split(out.String(), "\n") {
			assert.LessOrEqual(t, len(line), 132, path)
		}
	}
}

// workplace is a directory in which everything that the examples name is there,
// with a shell that has firedrill.
type workplace struct {
	*program
	dir string
}

func work(t *testing.T) *workplace {
	t.Helper()
	real(t)
	home, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	w := &workplace{program: &program{home: home}, dir: t.TempDir()}
	t.Cleanup(w.done)
	exe, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(w.dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(exe, filepath.Join(w.dir, "bin", "firedrill")))
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "scenarios"), 0o755))
	require.NoError(t, os.CopyFS(filepath.Join(w.dir, "scenarios", "library"), scenarios.Library()))
	w.must(t, "firedrill lab up mysql >/dev/null && cp $FIREDRILL_HOME/lab/mysql/topology.yaml production.yaml")
	w.must(t, "cp scenarios/library/mysql-primary-loss-lagging.yaml drill.yaml")
	run := "20260102T030405-mysql-primary-loss-ab12cd34"
	w.must(t, "firedrill run "+quick(t)+" --lab mysql --out runs/"+run+" && mkdir -p .local/state/firedrill && cp -r runs .local/state/firedrill")
	return w
}

// sh runs a line in the workplace.
func (w *workplace) sh(t *testing.T, line string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, "sh", "-c", line)
	c.Dir, c.Stdout, c.Stderr = w.dir, &stdout, &stderr
	c.Env = append(os.Environ(), asProgram+"=1", "FIREDRILL_HOME="+w.home, "HOME="+w.dir,
		"PATH="+filepath.Join(w.dir, "bin")+":"+os.Getenv("PATH"))
	_ = c.Run()
	return output{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (w *workplace) must(t *testing.T, line string) string {
	t.Helper()
	out := w.sh(t, line)
	require.Zero(t, out.code, "%s: %s", line, out.stderr)
	return out.stdout
}

// Every example of every command works as it stands there, on a real lab.
func TestExamples(t *testing.T) {
	w := work(t)
	for path, c := range commands(newRoot(nil)) {
		t.Run(path, func(t *testing.T) {
			for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
				line = strings.TrimSpace(line)
				if strings.Contains(line, "faultpoint") {
					line = w.faultPoint(t, line)
				}
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				if strings.Contains(line, "production.yaml") {
					w.must(t, "firedrill lab up mysql")
				}
				out := w.sh(t, line)
				assert.Zero(t, out.code, "%s: %s", line, out.stderr)
				assert.NotContains(t, out.stderr, "firedrill:", line)
				if strings.Contains(line, "-o json") {
					validJSON(t, line, out.stdout)
				}
			}
		})
	}
}

// faultPoint puts an example's socket into the workplace, ends one that would serve
// for ever, and starts a fault point for any other.
func (w *workplace) faultPoint(t *testing.T, line string) string {
	t.Helper()
	line = strings.ReplaceAll(line, "/run/firedrill/", "")
	if strings.Contains(line, " serve ") {
		return "timeout --foreground --preserve-status 2 " + line
	}
	serveFaultPoint(t, w.program, filepath.Join(w.dir, "llm.sock"))
	return line
}

// serveFaultPoint starts a fault point, until the end of the test.
func serveFaultPoint(t *testing.T, p *program, socket string) {
	t.Helper()
	c := p.command(t.Context(), "faultpoint", "serve", "--socket", socket, "--point", "a=127.0.0.1:4103=http://127.0.0.1:9")
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Wait() }) // the test's context has ended it
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
}

// validJSON fails the test unless text is one JSON value or several.
func validJSON(t *testing.T, line, text string) {
	t.Helper()
	n, d := 0, json.NewDecoder(strings.NewReader(text))
	for {
		var v any
		err := d.Decode(&v)
		if err == io.EOF {
			break
		}
		require.NoError(t, err, "%s: %s", line, text)
		n++
	}
	assert.Positive(t, n, "%s prints nothing", line)
}

// Whatever has -o json prints that and nothing else on stdout.
func TestJSONEverywhere(t *testing.T) {
	p := inLab(t, "mysql")
	st := strings.TrimSpace(p.run(t, "lab", "up", "mysql").stdout)
	socket := filepath.Join(p.home, "point.sock")
	serveFaultPoint(t, p, socket)
	args := map[string][]string{
		"faultpoint status": {"--socket", socket},
		"kinds":             {}, "validate": {quick(t), "--topology", st}, "plan": {quick(t), "--lab", "mysql"},
		"run":     {quick(t), "--lab", "mysql", "--out", filepath.Join(t.TempDir(), "run")},
		"recover": {}, "lab list": {}, "lab status": {}, "lab up": {"mysql"}, "lab down": {"mysql8"},
	}
	for path, c := range commands(newRoot(nil)) {
		if c.Flags().Lookup("output") == nil {
			continue
		}
		require.Contains(t, args, path, "say how to call it")
		line := append(append(strings.Fields(path), args[path]...), "-o", "json")
		out := p.run(t, line...)
		assert.Zero(t, out.code, "%s: %s", path, out.stderr)
		validJSON(t, path, out.stdout)
		bad := p.run(t, append(line[:len(line)-1], "yaml")...)
		assert.Equal(t, 2, bad.code, path)
		assert.Contains(t, bad.stderr, `--output "yaml": want json`, path)
	}
}
