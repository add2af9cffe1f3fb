package ledger_test

import (
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashChildEnv); path != "" {
		crashChild(path)
		return
	}
	os.Exit(m.Run())
}

// create makes a ledger that is closed at the latest when the test ends.
func create(t testing.TB, opts ...ledger.Option) (*ledger.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orders.ledger")
	f, err := ledger.Create(path, "orders", opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f, path
}

func lane(t testing.TB, f *ledger.File) *ledger.Lane {
	t.Helper()
	l, ok := f.Lane()
	require.True(t, ok)
	return l
}

// entries reads a ledger's file to its end or to its first error.
func entries(path string) ([]ledger.Entry, error) {
	var all []ledger.Entry
	for e, err := range ledger.Read(path) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// seq yields values, and then err if it is not nil.
func seq[T any](values []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}
