package remedies_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
)

// vendorsTarget is a component of three members of which the first is the primary.
func vendorsTarget() drills.Target {
	c := &topology.Component{Spec: topology.ComponentSpec{Name: "models"}}
	st := topology.State{}
	for i, name := range vendorNames {
		c.Members = append(c.Members, &topology.Member{Spec: topology.MemberSpec{Name: name}, Component: "models"})
		role := topology.Replica
		if i == 0 {
			role = topology.Primary
		}
		st.Members = append(st.Members, topology.MemberState{Member: name, Role: role})
	}
	return drills.Target{Component: c, Members: c.Members, State: st}
}

// with makes a remedy from parameters.
func with(t testing.TB, kind string, params map[string]any) drills.Remedy {
	t.Helper()
	b, err := json.Marshal(params)
	require.NoError(t, err)
	return remedy(t, kind, string(b))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// names are the files in a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// answering is a configuration of HAProxy that answers by itself.
const answering = `defaults
  mode http
  timeout client 5s
frontend models
  bind %s
  http-request return status 200 content-type text/plain string "from vendor-a"
`

// reloading is a command that has HAProxy reload, and returns when its master says
// that it has: a second signal while it is at it would be lost.
func reloading(master int, cli string) []string {
	const script = `
reloads() { ( exec 3<>"/dev/tcp/$1" && printf 'show proc\nquit\n' >&3 && awk '$2 == "master" { print $3 }' <&3 ) 2>&-; }
before=$(reloads "$1")
kill -USR2 "$0"
until now=$(reloads "$1"); [ "${now:--1}" -gt "$before" ]; do sleep 0.02; done`
	return []string{"bash", "-c", script, strconv.Itoa(master), strings.Replace(cli, ":", "/", 1)}
}

func TestConfigFileOfARealHAProxy(t *testing.T) {
	dir, front, cli := shortDir(t), freeAddress(t), freeAddress(t)
	path, master := startHAProxy(t, dir, cli, fmt.Sprintf(answering, front), front)
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, 65511, 65512))
	}
	before, err := os.Stat(path)
	require.NoError(t, err)
	says := func() string {
		resp, err := http.Get("http://" + front + "/")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	require.Eventually(t, func() bool { return says() == "from vendor-a" }, soon, tick)
	params := map[string]any{
		"path": path, "replace": []map[string]string{{"old": "from {primary}", "new": "from {next}"}},
		"validate": []string{"haproxy", "-c", "-f", "{file}"},
		"reload":   reloading(master, cli),
		"check":    map[string]any{"url": "http://" + front + "/", "expectBody": "^from vendor-"},
	}
	var log book
	require.NoError(t, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &log))
	require.Eventually(t, func() bool { return says() == "from vendor-b" }, soon, tick)
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, before.Mode(), after.Mode())
	assert.Equal(t, before.Sys().(*syscall.Stat_t).Uid, after.Sys().(*syscall.Stat_t).Uid)
	assert.Equal(t, before.Sys().(*syscall.Stat_t).Gid, after.Sys().(*syscall.Stat_t).Gid)

	// Once more: the file is left alone and reloaded.
	again := book{}
	require.NoError(t, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &again))
	assert.Equal(t, []string{"reload", "check"}, again.intents)
	assert.Equal(t, "holds that already", again.steps[0].Detail)
	assert.Empty(t, again.undos)

	require.Len(t, log.undos, 1)
	for range 2 {
		require.NoError(t, remedy(t, "config-file", minimal).(drills.Reverter).Revert(t.Context(), log.undos[0]))
		require.Eventually(t, func() bool { return says() == "from vendor-a" }, soon, tick)
	}
	assert.Equal(t, fmt.Sprintf(answering, front), read(t, path))
	assert.Equal(t, []string{"haproxy.cfg"}, names(t, dir))

	// What HAProxy does not accept never gets there.
	params["replace"] = []map[string]string{{"old": "mode http", "new": "mode nonsense"}}
	log = book{}
	err = with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &log)
	assert.ErrorContains(t, err, "is as it was: the new content is not good: run haproxy: exit status 1: ")
	assert.ErrorContains(t, err, "Fatal errors found in configuration")
	assert.Equal(t, []string{"haproxy.cfg"}, names(t, dir))
	assert.Equal(t, "from vendor-a", says())
	require.NoError(t, remedy(t, "config-file", minimal).(drills.Reverter).Revert(t.Context(), log.undos[0]))
	assert.Equal(t, fmt.Sprintf(answering, front), read(t, path))
}

// minimal is what an instance in another process may have been made from: all
// that reverting needs is in the undo.
const minimal = `{"path":"/x","content":"y","reload":["false"]}`

// oldContent holds a secret, as such files do.
const oldContent = "password: hush-hush\nvendor: vendor-a\n"

// configPlace is a file whose reader takes a copy of it when it is told to.
type configPlace struct{ dir, path, loaded string }

func newConfigPlace(t *testing.T) configPlace {
	dir := t.TempDir()
	p := configPlace{dir: dir, path: filepath.Join(dir, "app.yaml"), loaded: filepath.Join(dir, "loaded")}
	require.NoError(t, os.WriteFile(p.path, []byte(oldContent), 0o640))
	require.NoError(t, os.WriteFile(p.loaded, []byte(oldContent), 0o640))
	return p
}

func (p configPlace) params() map[string]any {
	return map[string]any{
		"path": p.path, "replace": []map[string]string{{"old": "vendor-a", "new": "vendor-b, not vendor-a"}},
		"validate": []string{"grep", "-q", "password: .*", "{file}"},
		"reload":   []string{"cp", p.path, p.loaded},
		"check":    map[string]any{"command": []string{"cmp", p.path, p.loaded}},
	}
}

const newContent = "password: hush-hush\nvendor: vendor-b, not vendor-a\n"

const (
	victimVar = "FIREDRILL_TEST_CONFIG_VICTIM"
	victimAt  = "FIREDRILL_TEST_CONFIG_KILL"
)

// mortal is a log of a runner that is killed at the n-th thing that it notes.
type mortal struct {
	dir string
	n   int
}

func (l *mortal) Intend(_ string, u *drills.Undo) error {
	if u != nil {
		b, err := json.Marshal(u)
		if err == nil {
			err = os.WriteFile(filepath.Join(l.dir, "undo"), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	l.next()
	return nil
}

func (l *mortal) Step(topology.Step) { l.next() }

func (l *mortal) next() {
	if l.n--; l.n == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// A runner that is killed wherever it may be leaves nothing that its journal does
// not undo. The test program runs itself again as that runner.
func TestConfigFileOfAKilledRunner(t *testing.T) {
	if params := os.Getenv(victimVar); params != "" {
		n, err := strconv.Atoi(os.Getenv(victimAt))
		require.NoError(t, err)
		require.NoError(t, remedy(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &mortal{os.TempDir(), n}))
		return
	}
	if !controltest.Wanted() {
		t.Skip("FIREDRILL_TEST_REAL=0: tests with real servers are left out")
	}
	const notes = 10 // five steps, each announced and recorded
	for n := 1; n <= notes+1; n++ {
		t.Run(fmt.Sprint("at ", n), func(t *testing.T) {
			t.Parallel()
			p, home := newConfigPlace(t), t.TempDir()
			params, err := json.Marshal(p.params())
			require.NoError(t, err)
			runner := exec.Command(os.Args[0], "-test.run=^TestConfigFileOfAKilledRunner$")
			runner.Env = append(os.Environ(), victimVar+"="+string(params), victimAt+"="+fmt.Sprint(n), "TMPDIR="+home)
			out, err := runner.CombinedOutput()
			require.Equal(t, n > notes, err == nil, "%s", out)
			if n > 7 {
				require.Equal(t, newContent, read(t, p.loaded))
			}
			var u drills.Undo
			require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(home, "undo"))), &u))
			assert.NotContains(t, string(u.Data), "hush")
			for range 2 {
				require.NoError(t, remedy(t, "config-file", minimal).(drills.Reverter).Revert(t.Context(), u))
				assert.Equal(t, oldContent, read(t, p.path))
				assert.Equal(t, oldContent, read(t, p.loaded))
				assert.Equal(t, []string{"app.yaml", "loaded"}, names(t, p.dir))
			}
		})
	}
}

// The journal refusing a step ends Apply before the deed, and what was done until
// then is undone.
func TestConfigFileInterrupted(t *testing.T) {
	for breakAt, want := range []string{1: oldContent, 2: oldContent, 3: oldContent, 4: newContent, 5: newContent} {
		if breakAt == 0 {
			continue
		}
		p := newConfigPlace(t)
		log := book{breakAt: breakAt}
		require.ErrorIs(t, with(t, "config-file", p.params()).Apply(t.Context(), vendorsTarget(), &log), errInterrupted)
		assert.Equal(t, want, read(t, p.path), "break at %d", breakAt)
		// It carries on.
		next := book{}
		require.NoError(t, with(t, "config-file", p.params()).Apply(t.Context(), vendorsTarget(), &next))
		assert.Equal(t, newContent, read(t, p.loaded))
		for _, u := range append(next.undos, log.undos...) { // newest first
			require.NoError(t, remedy(t, "config-file", minimal).(drills.Reverter).Revert(t.Context(), u))
		}
		assert.Equal(t, oldContent, read(t, p.path), "break at %d", breakAt)
		assert.Equal(t, oldContent, read(t, p.loaded))
		assert.Equal(t, []string{"app.yaml", "loaded"}, names(t, p.dir))
	}
}

func TestConfigFileRevertThatFailsIsMadeAgain(t *testing.T) {
	p := newConfigPlace(t)
	params := p.params()
	switchOff := filepath.Join(p.dir, "off")
	params["reload"] = []string{"sh", "-c", `test ! -e "$2" || { echo reader is off; exit 1; }; cp "$0" "$1"`, p.path, p.loaded, switchOff}
	var log book
	require.NoError(t, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &log))
	require.NoError(t, os.WriteFile(switchOff, nil, 0o600))
	back := remedy(t, "config-file", minimal).(drills.Reverter)
	assert.ErrorContains(t, back.Revert(t.Context(), log.undos[0]), "is back, but: run sh: exit status 1: reader is off")
	assert.Equal(t, oldContent, read(t, p.path))
	assert.Equal(t, newContent, read(t, p.loaded), "it was not reloaded")
	require.NoError(t, os.Remove(switchOff))
	require.NoError(t, back.Revert(t.Context(), log.undos[0]))
	assert.Equal(t, oldContent, read(t, p.loaded))
	assert.Equal(t, []string{"app.yaml", "loaded"}, names(t, p.dir))
}

func TestConfigFileKeepsItsCopyToItself(t *testing.T) {
	p := newConfigPlace(t)
	require.NoError(t, os.Chmod(p.path, 0o644))
	var log book
	require.NoError(t, with(t, "config-file", p.params()).Apply(t.Context(), vendorsTarget(), &log))
	copies, err := filepath.Glob(p.path + ".firedrill-*")
	require.NoError(t, err)
	require.Len(t, copies, 1)
	info, err := os.Stat(copies[0])
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Equal(t, oldContent, read(t, copies[0]))
	back := remedy(t, "config-file", minimal).(drills.Reverter)

	// Somebody else's change is not overwritten.
	require.NoError(t, os.WriteFile(p.path, []byte("by an operator"), 0o644))
	err = back.Revert(t.Context(), log.undos[0])
	assert.ErrorContains(t, err, "somebody else changed it since: see what of "+copies[0]+" is still wanted, and remove that copy")
	assert.Equal(t, "by an operator", read(t, p.path))

	// A copy that is damaged, or gone, is not put back.
	require.NoError(t, os.WriteFile(p.path, []byte(newContent), 0o644))
	require.NoError(t, os.WriteFile(copies[0], nil, 0o600))
	assert.ErrorContains(t, back.Revert(t.Context(), log.undos[0]), "is not what was there")
	require.NoError(t, os.Remove(copies[0]))
	assert.ErrorContains(t, back.Revert(t.Context(), log.undos[0]), "put the old content back by hand")
	require.NoError(t, os.WriteFile(p.path, []byte("by an operator"), 0o644))
	assert.NoError(t, back.Revert(t.Context(), log.undos[0]), "the operator removed the copy: that is settled")
	require.NoError(t, os.RemoveAll(p.dir))
	assert.ErrorIs(t, back.Revert(t.Context(), log.undos[0]), drills.ErrGone)
}

func TestConfigFileContentAndLinks(t *testing.T) {
	p := newConfigPlace(t)
	link := filepath.Join(t.TempDir(), "link.yaml")
	require.NoError(t, os.Symlink(p.path, link))
	params := p.params()
	delete(params, "replace")
	delete(params, "validate")
	params["path"], params["content"] = link, "component: {component}\nvendor: {next}\nother: {braces}\n"
	var log book
	require.NoError(t, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &log))
	assert.Equal(t, "component: models\nvendor: vendor-b\nother: {braces}\n", read(t, p.path))
	to, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, p.path, to, "the link stays")
	require.NoError(t, remedy(t, "config-file", minimal).(drills.Reverter).Revert(t.Context(), log.undos[0]))
	assert.Equal(t, oldContent, read(t, p.path))
}

// Either text may be a part of the other; to replace once more changes nothing.
func TestConfigFileReplacesPartsOfTheNewTextAndOfTheOld(t *testing.T) {
	const switched = "a up disabled\nb up\n"
	for _, old := range []string{"a up\nb up disabled\n", switched} {
		p := newConfigPlace(t)
		require.NoError(t, os.WriteFile(p.path, []byte(old), 0o640))
		params := p.params()
		params["validate"] = nil
		params["replace"] = []map[string]string{{"old": "a up", "new": "a up disabled"}, {"old": "b up disabled", "new": "b up"}}
		require.NoError(t, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &book{}))
		assert.Equal(t, switched, read(t, p.path))
	}
}

func TestConfigFileThatCannotHelp(t *testing.T) {
	p := newConfigPlace(t)
	apply := func(change func(map[string]any)) (*book, error) {
		params := p.params()
		change(params)
		var log book
		return &log, with(t, "config-file", params).Apply(t.Context(), vendorsTarget(), &log)
	}
	log, err := apply(func(m map[string]any) { m["replace"] = []map[string]string{{"old": "vendor-x", "new": "vendor-y"}} })
	assert.ErrorContains(t, err, `config file `+p.path+`: with.replace[0].old: the file does not hold "vendor-x"`)
	assert.Empty(t, log.intents)
	_, err = apply(func(m map[string]any) { m["path"] = p.path + ".gone" })
	assert.ErrorContains(t, err, "no such file")
	_, err = apply(func(m map[string]any) { m["path"] = p.dir })
	assert.Error(t, err)
	log, err = apply(func(m map[string]any) {
		m["check"], m["timeout"] = map[string]any{"command": []string{"sh", "-c", "echo still no; exit 1"}}, "100ms"
	})
	assert.ErrorContains(t, err, "exit status 1: still no (not so after 100ms)")
	assert.NotEmpty(t, log.step("check").Err)
	require.NoError(t, with(t, "config-file", p.params()).Apply(t.Context(), vendorsTarget(), &book{}))
}

func TestConfigFileRefusesWhatCannotWork(t *testing.T) {
	for want, params := range map[string]string{
		"want an absolute path":           `{"path":"x","content":"y","reload":["z"]}`,
		"give either content or replace":  `{"path":"/x","content":"y","replace":[{"old":"a"}],"reload":["z"]}`,
		"with: give either content or":    `{"path":"/x","reload":["z"]}`,
		"with.replace[0]: old must be":    `{"path":"/x","replace":[{"old":"a","new":"a"}],"reload":["z"]}`,
		"with: give reload, or":           `{"path":"/x","content":"y"}`,
		"with.reload: name the program":   `{"path":"/x","content":"y","reload":[""]}`,
		"give either command or url":      `{"path":"/x","content":"y","check":{"command":["a"],"url":"http://b"}}`,
		"with.check.url: \"b\": want":     `{"path":"/x","content":"y","check":{"url":"b"}}`,
		"with.check.expectBody: error":    `{"path":"/x","content":"y","check":{"url":"http://b","expectBody":"("}}`,
		"with.timeout: must be longer":    `{"path":"/x","content":"y","reload":["z"],"timeout":"0s"}`,
		"with.check.command: name the pr": `{"path":"/x","content":"y","check":{"command":[""]}}`,
	} {
		_, err := build("config-file", params)
		assert.ErrorContains(t, err, want)
	}
}
