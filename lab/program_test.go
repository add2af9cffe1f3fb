package lab_test

import (
	"encoding/json"
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
)

// built is firedrill itself: it is what the processes of a lab of models run.
var built builder

type builder struct {
	once sync.Once
	dir  string
	err  error
	said []byte
}

// path builds firedrill when it is first called.
func (b *builder) path(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "fd-"); b.err != nil {
			return
		}
		if b.err = os.Chmod(b.dir, 0o755); b.err != nil { // for other users, too
			return
		}
		build := osexec.Command("go", "build", "-trimpath", "-o", b.dir, "firedrill/cmd/firedrill")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does, for the cache
		b.said, b.err = build.CombinedOutput()
	})
	require.NoError(t, b.err, string(b.said))
	return filepath.Join(b.dir, "firedrill")
}

func (b *builder) remove() {
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// caller calls firedrill with a home of its own, as root or as somebody else.
type caller struct {
	home string
	uid  int // 0: root
}

// newCaller makes a home, and with a user id everything else that a person has:
// caches that root has filled are theirs as well.
func newCaller(t *testing.T, uid int) caller {
	t.Helper()
	c := caller{home: filepath.Join(labtest.Dir(t), "home"), uid: uid}
	require.NoError(t, os.Mkdir(c.home, 0o700))
	if uid == 0 {
		return c
	}
	shared, err := lab.CacheDir()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(shared, filepath.Join(c.home, "firedrill")))
	require.NoError(t, os.Chown(c.home, uid, uid))
	return c
}

// run runs firedrill and returns what it printed.
func (c caller) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.command(t, args...).Output()
	if exit := (*osexec.ExitError)(nil); errors.As(err, &exit) {
		require.NoError(t, err, "firedrill %v: %s", args, exit.Stderr)
	}
	require.NoError(t, err)
	return string(out)
}

func (c caller) command(t *testing.T, args ...string) *osexec.Cmd {
	t.Helper()
	cmd := osexec.Command(built.path(t), args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "FIREDRILL_HOME=" + c.home, "XDG_CACHE_HOME=" + c.home, "TMPDIR=" + os.TempDir(),
	}
	cmd.Dir = "/"
	if c.uid == 0 {
		cmd.Env[3] = "XDG_CACHE_HOME="
	} else {
		id := uint32(c.uid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	}
	return cmd
}

// up brings a lab of models up, which is taken down with the test.
func (c caller) up(t *testing.T, name string) lab.Status {
	t.Helper()
	t.Cleanup(func() {
		out, err := c.command(t, "lab", "down", name).CombinedOutput()
		assert.NoError(t, err, string(out))
	})
	c.run(t, "lab", "up", name)
	return c.status(t, name)
}

func (c caller) status(t *testing.T, name string) (st lab.Status) {
	t.Helper()
	var all []lab.Status
	require.NoError(t, json.Unmarshal([]byte(c.run(t, "lab", "status", name, "-o", "json")), &all))
	require.Len(t, all, 1)
	return all[0]
}
