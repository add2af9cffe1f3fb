package reports_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/reports"
	"firedrill/reports/reportstest"
)

var htmlDir = flag.String("html", "", "write the fixtures' pages to this directory, to look at them")

func page(t *testing.T, f reportstest.Fixture) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, reports.HTML(&b, f.Result))
	if *htmlDir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(*htmlDir, f.Name+".html"), b.Bytes(), 0o644))
	}
	return b.String()
}

func TestHTML(t *testing.T) {
	for _, f := range reportstest.All() {
		t.Run(f.Name, func(t *testing.T) {
			require.Less(t, len(page(t, f)), 1_000_000)
		})
	}
}
