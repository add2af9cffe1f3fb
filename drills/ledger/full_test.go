package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// tinyDisk mounts a file system of 64 KiB.
func tinyDisk(t *testing.T) string {
	t.Helper()
	if os.Getenv("FIREDRILL_TEST_REAL") == "0" {
		t.Skip("FIREDRILL_TEST_REAL=0: no file system is mounted")
	}
	dir := t.TempDir()
	err := unix.Mount("firedrill-test", dir, "tmpfs", 0, "size=64k")
	require.NoError(t, err, "mounting a tmpfs needs root; FIREDRILL_TEST_REAL=0 leaves this test out")
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestDiskFull(t *testing.T) {
	disk := tinyDisk(t)
	path, ballast := filepath.Join(disk, "orders.ledger"), filepath.Join(disk, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 20_000), 0o600))
	f, err := ledger.Create(path, "orders")
	require.NoError(t, err)
	a, b := lane(t, f), lane(t, f)
	recorded := 0
	for err == nil {
		at := timeline.Offset(recorded) * 1e6
		a.Next()
		if err = a.Record(ledger.Acknowledged, at, at+1e5, "db1"); err == nil {
			recorded++
		}
		require.Less(t, recorded, 1<<16, "the disk must be full by now")
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, path)
	require.ErrorIs(t, f.Err(), unix.ENOSPC)
	assert.LessOrEqual(t, f.MustSee(1 << 62)[0].ID.Seq, uint64(recorded))

	require.NoError(t, os.Remove(ballast), "there is space again")
	b.Next()
	require.ErrorIs(t, b.Record(ledger.Acknowledged, 1, 2, ""), unix.ENOSPC, "the error stays")
	a.Release()
	b.Release()
	require.ErrorIs(t, f.Close(), unix.ENOSPC)
	got, err := entries(path)
	require.ErrorIs(t, err, ledger.ErrTorn)
	assert.Len(t, got, recorded, "what Record returned nil for is there, and no more")
}
