package controltest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
)

// Dir makes a directory that every user may read and write, with a copy of the
// test program that every user may execute. It returns both paths.
func Dir(t testing.TB) (dir, program string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "firedrill-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	program = filepath.Join(dir, "server")
	self, err := os.Executable()
	require.NoError(t, err)
	if os.Link(self, program) != nil { // not the same file system
		b, err := os.ReadFile(self)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(program, b, 0o755))
	}
	return dir, program
}

// Member describes a server of its own as a member under process control. args
// are added to the server's arguments.
func Member(t testing.TB, name, address, user string, args ...string) topology.MemberSpec {
	t.Helper()
	dir, program := Dir(t)
	start := append([]string{program, "-listen", address}, args...)
	return topology.MemberSpec{Name: name, Address: address, User: user, Control: &topology.ControlSpec{
		Kind: "process",
		With: JSON(t, map[string]any{
			"start": start, "pidFile": filepath.Join(dir, "pid"), "log": filepath.Join(dir, "log"),
			"env": As("server"), "startTimeout": "10s", "stopTimeout": "5s",
		}),
	}}
}

// JSON writes v as JSON.
func JSON(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func memberFrom(b []byte) (topology.MemberSpec, error) {
	var m topology.MemberSpec
	return m, json.Unmarshal(b, &m)
}
