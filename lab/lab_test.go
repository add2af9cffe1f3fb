package lab_test

import (
	"context"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
)

// up brings a lab up in a home of its own, which is taken down with the test.
func up(t *testing.T, home, name string) lab.Status {
	t.Helper()
	t.Cleanup(func() { assert.NoError(t, lab.Down(context.Background(), home, name)) })
	return upAgain(t, home, name)
}

// upAgain does so with a lab that somebody else takes down.
func upAgain(t *testing.T, home, name string) lab.Status {
	t.Helper()
	start := time.Now()
	path, err := lab.Up(t.Context(), home, name, func(line string) { t.Log(line) })
	require.NoError(t, err)
	t.Logf("up %s took %s", name, time.Since(start).Round(time.Millisecond))
	require.FileExists(t, path)
	return status(t, home, name)
}

func status(t *testing.T, home, name string) lab.Status {
	t.Helper()
	st, err := lab.StatusOf(t.Context(), home, name)
	require.NoError(t, err)
	return st
}

func TestUpStatusDown(t *testing.T) {
	labtest.Real(t)
	for _, info := range lab.List() {
		if strings.HasPrefix(info.Name, "llm") || info.Name == "kubernetes" {
			continue // see TestModelLabs and TestKubernetes
		}
		t.Run(info.Name, func(t *testing.T) {
			home, rules := t.TempDir(), nft(t)
			assert.Equal(t, lab.IsDown, status(t, home, info.Name).State)
			st := up(t, home, info.Name)
			require.Equal(t, lab.Healthy, st.State, st.Problems)
			assert.Equal(t, []string{"db-1"}, st.LeadsTo)
			throughTheRoute(t, home, st)

			again := up(t, home, info.Name)
			assert.Equal(t, st, again, "a second up changes nothing")

			require.NoError(t, lab.Down(t.Context(), home, info.Name))
			nothingLeft(t, home, st)
			assert.Equal(t, rules, nft(t))
			require.NoError(t, lab.Down(t.Context(), home, info.Name), "a second down is fine")
		})
	}
}

// throughTheRoute writes as applications do and reads at every member.
func throughTheRoute(t *testing.T, home string, st lab.Status) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(home, "lab", st.Name, "secrets", "app"))
	require.NoError(t, err)
	connect := func(address string) func(query string, into ...any) error {
		db, err := lab.OpenAddress(st.Namespace, address, lab.AppUser, strings.TrimSpace(string(password)))
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		return func(query string, into ...any) error {
			if len(into) > 0 {
				return db.QueryRowContext(t.Context(), query).Scan(into...)
			}
			_, err := db.ExecContext(t.Context(), query)
			return err
		}
	}
	route := connect(st.Route)
	for _, q := range []string{"CREATE TABLE firedrill.t (id int primary key)", "INSERT INTO firedrill.t VALUES (1)"} {
		require.NoError(t, route(q), q)
	}
	for _, m := range st.Members {
		member, n := connect(m.Address), 0
		eventually(t, func(context.Context) bool { return member("SELECT count(*) FROM firedrill.t", &n) == nil && n == 1 },
			"the row arrives at %s", m.Name)
	}
}

// nothingLeft: no process, no namespace, no mount, no file.
func nothingLeft(t *testing.T, home string, st lab.Status) {
	t.Helper()
	for _, m := range slices.Concat(st.Members, st.Services) {
		assert.NoFileExists(t, filepath.Join("/proc", strconv.Itoa(m.PID)), "process of %s", m.Name)
		assert.NoDirExists(t, m.Dir)
		assert.NoDirExists(t, filepath.Dir(m.Dir))
		if m.User != 0 {
			assert.Empty(t, withArgument(t, filepath.Dir(m.Dir)))
		}
	}
	assert.NoDirExists(t, filepath.Join(home, "lab", st.Name))
	if st.Namespace != "" {
		assert.NoFileExists(t, st.Namespace)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	assert.NotContains(t, string(mounts), filepath.Base(filepath.Dir(st.Members[0].Dir)))
}

// withArgument lists the processes that name a path.
func withArgument(t *testing.T, path string) []string {
	t.Helper()
	var found []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), path) {
			found = append(found, f+" "+string(b))
		}
	}
	return found
}

func nft(t *testing.T) string {
	t.Helper()
	out, err := osexec.CommandContext(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func TestUpRepairs(t *testing.T) {
	labtest.Real(t)
	for _, victim := range []int{0, 1} {
		t.Run("kill "+strconv.Itoa(victim), func(t *testing.T) {
			home := t.TempDir()
			before := up(t, home, "mysql")
			kill(t, before.Members[victim].PID)
			eventually(t, func(context.Context) bool { return status(t, home, "mysql").State == lab.Degraded }, "it shows")
			after := up(t, home, "mysql")
			assert.Equal(t, lab.Healthy, after.State, after.Problems)
			for i := range after.Members {
				same := before.Members[i].PID == after.Members[i].PID
				assert.Equal(t, i != victim, same, "only the victim is started again: %s", after.Members[i].Name)
			}
		})
	}
}

func TestUpRebuildsWhatCannotBeRepaired(t *testing.T) {
	labtest.Real(t)
	home := t.TempDir()
	before := up(t, home, "mysql")
	require.NoError(t, os.RemoveAll(filepath.Join(before.Members[2].Dir, "data")))
	kill(t, before.Members[2].PID)
	after := up(t, home, "mysql")
	assert.Equal(t, lab.Healthy, after.State, after.Problems)
	assert.NotEqual(t, before.Members[0].PID, after.Members[0].PID)
}

func TestTwoHomesDoNotCollide(t *testing.T) {
	labtest.Real(t)
	one, two := t.TempDir(), t.TempDir()
	first, second := up(t, one, "mysql"), up(t, two, "mysql")
	assert.NotEqual(t, first.Namespace, second.Namespace)
	require.NoError(t, lab.Down(t.Context(), two, "mysql"))
	assert.Equal(t, lab.Healthy, status(t, one, "mysql").State)
}

func TestUnknownLab(t *testing.T) {
	_, err := lab.Up(t.Context(), t.TempDir(), "oracle", nil)
	require.ErrorIs(t, err, lab.ErrUnknown)
	assert.ErrorContains(t, err, "mysql-semisync")
}

func kill(t *testing.T, pid int) {
	t.Helper()
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}
