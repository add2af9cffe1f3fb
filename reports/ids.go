package reports

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"firedrill/drills/verdict"
)

// How much of an id list is carried inside a page, in bytes before encoding for
// plain text, and after it for what is compressed.
const (
	plainLimit  = 48 << 10
	packedLimit = 320 << 10
)

// idRange is a stretch of one writer's sequence.
type idRange struct {
	writer   string
	from, to uint64
}

// joinIDs sorts ids ("writer:seq" or "writer:from-to") and joins neighbours.
// What it cannot read is kept as it is, at the end.
func joinIDs(ids []string) []string {
	var ranges []idRange
	var odd []string
	for _, id := range ids {
		if r, ok := parseID(id); ok {
			ranges = append(ranges, r)
		} else {
			odd = append(odd, id)
		}
	}
	slices.SortFunc(ranges, func(a, b idRange) int {
		return cmp.Or(cmp.Compare(len(a.writer), len(b.writer)), cmp.Compare(a.writer, b.writer), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	var out []string
	for i := 0; i < len(ranges); {
		r := ranges[i]
		for i++; i < len(ranges) && ranges[i].writer == r.writer && ranges[i].from <= r.to+1; i++ {
			r.to = max(r.to, ranges[i].to)
		}
		out = append(out, r.String())
	}
	return append(out, odd...)
}

func parseID(id string) (idRange, bool) {
	writer, seq, ok := strings.Cut(id, ":")
	from, to, isRange := strings.Cut(seq, "-")
	if !isRange {
		to = from
	}
	f, err1 := strconv.ParseUint(from, 10, 64)
	t, err2 := strconv.ParseUint(to, 10, 64)
	_, err3 := strconv.ParseUint(writer, 10, 16)
	return idRange{writer, f, t}, ok && err1 == nil && err2 == nil && err3 == nil && f <= t
}

// String returns "writer:seq" or "writer:from-to".
func (r idRange) String() string {
	if r.from == r.to {
		return fmt.Sprintf("%s:%d", r.writer, r.from)
	}
	return fmt.Sprintf("%s:%d-%d", r.writer, r.from, r.to)
}

// download is a list of ids inside the page.
type download struct {
	File string
	// URL is a data: URI, "" if the list is too long to carry.
	URL template.URL
}

// newDownload makes a text file of all ids of a ledger that need attention.
func newDownload(runID string, l verdict.LedgerResult, lost []string) download {
	var b bytes.Buffer
	if len(lost) > 0 {
		section(&b, "lost", lost)
	}
	for _, class := range slices.Sorted(maps.Keys(l.IDs)) {
		section(&b, class, joinIDs(l.IDs[class]))
	}
	d := download{File: runID + "-" + l.Name + "-ids.txt"}
	if b.Len() == 0 {
		return download{}
	}
	text := fmt.Sprintf("# Ledger %s of run %s: writer:sequence, neighbours joined.\n%s", l.Name, runID, b.String())
	if len(text) <= plainLimit {
		d.URL = template.URL("data:text/plain;charset=utf-8," + url.PathEscape(text))
		return d
	}
	packed := pack(text)
	if len(packed) > packedLimit {
		return d
	}
	d.File += ".gz"
	d.URL = template.URL("data:application/gzip;base64," + packed)
	return d
}

func section(b *bytes.Buffer, class string, ids []string) {
	fmt.Fprintf(b, "\n# %s\n%s\n", class, strings.Join(ids, "\n"))
}

// pack compresses text; writing to memory does not fail.
func pack(text string) string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
