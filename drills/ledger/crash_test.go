package ledger_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

const crashChildEnv = "FIREDRILL_LEDGER_CRASH_CHILD"

// crashChild records attempts in eight lanes without end, and reports each on its
// standard output once Record has returned.
func crashChild(path string) {
	f, err := ledger.Create(path, "orders")
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			l, _ := f.Lane()
			for at := timeline.Offset(0); ; at += 1000 {
				id := l.Next()
				if err := l.Record(ledger.Acknowledged, at, at+500, "db1"); err != nil {
					panic(err)
				}
				report := binary.LittleEndian.AppendUint16(nil, id.Writer)
				report = binary.LittleEndian.AppendUint64(report, id.Seq)
				if _, err := os.Stdout.Write(report); err != nil {
					panic(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRecordedSurvivesKill(t *testing.T) {
	for round := range 25 {
		path := filepath.Join(t.TempDir(), "orders.ledger")
		reported := killAfter(t, path, 1+rand.IntN(3000)) //nolint:gosec // any moment will do
		recorded := map[uint16]uint64{}
		var readErr error
		for e, err := range ledger.Read(path) {
			if err != nil {
				readErr = err
				break
			}
			recorded[e.ID.Writer] = e.ID.Seq
		}
		require.ErrorIs(t, readErr, ledger.ErrTorn, "nobody closed it")
		for w, n := range reported {
			assert.GreaterOrEqual(t, recorded[w], n, "round %d: writer %d: recorded, reported and not in the file", round, w)
			assert.LessOrEqual(t, recorded[w], n+1, "round %d: one attempt at a time", round)
		}
	}
}

// killAfter kills a child after it has reported so many attempts, and returns
// the highest sequence that it has reported of each writer.
func killAfter(t *testing.T, path string, reports int) map[uint16]uint64 {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), crashChildEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	seen := map[uint16]uint64{}
	report := make([]byte, 10)
	for n := 0; ; n++ {
		if n == reports {
			require.NoError(t, cmd.Process.Kill())
		}
		_, err := io.ReadFull(out, report)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		seen[binary.LittleEndian.Uint16(report)] = binary.LittleEndian.Uint64(report[2:])
	}
	require.ErrorContains(t, cmd.Wait(), "killed")
	return seen
}
