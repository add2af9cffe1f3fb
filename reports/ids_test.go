package reports

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

func TestJoinIDs(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"1:7"}, []string{"1:7"}},
		{[]string{"1:3", "1:1", "1:2"}, []string{"1:1-3"}},
		{[]string{"10:5", "2:5", "2:6-9", "2:10"}, []string{"2:5-10", "10:5"}},
		{[]string{"1:1-5", "1:3", "1:4-8"}, []string{"1:1-8"}},
		{[]string{"1:1", "1:3"}, []string{"1:1", "1:3"}},
		{[]string{"odd", "1:9-2", "1:1"}, []string{"1:1", "odd", "1:9-2"}},
	} {
		assert.Equal(t, c.want, joinIDs(c.in), "%v", c.in)
	}
}

func TestDownload(t *testing.T) {
	l := verdict.LedgerResult{Name: "orders"}
	assert.Empty(t, newDownload("run", l, nil), "nothing to download")

	l.IDs = map[string][]string{"phantom": {"1:4"}, "diverged": {"2:1", "2:2"}}
	d := newDownload("run", l, []string{"1:1-3"})
	text, err := url.PathUnescape(strings.TrimPrefix(string(d.URL), "data:text/plain;charset=utf-8,"))
	require.NoError(t, err)
	assert.Equal(t, "# Ledger orders of run run: writer:sequence, neighbours joined.\n\n# lost\n1:1-3\n\n# diverged\n2:1-2\n\n# phantom\n1:4\n", text)

	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprintf("1:%d", 2*i))
	}
	d = newDownload("run", l, many)
	assert.Equal(t, "run-orders-ids.txt.gz", d.File)
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(d.URL), "data:application/gzip;base64,"))
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	all, err := io.ReadAll(z)
	require.NoError(t, err)
	assert.Contains(t, string(all), "\n1:39998\n")
}
