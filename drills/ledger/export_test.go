package ledger

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"

	"firedrill/drills/timeline"
)

// WriteBench writes a file of n acknowledged attempts in some lanes, as a File
// would, but through a buffer.
func WriteBench(w io.Writer, n, lanes uint64) error {
	out := bufio.NewWriterSize(w, 1<<20)
	line := fmt.Sprintf("{\"format\":%q,\"name\":\"bench\",\"lanes\":%d}\n", formatV1, lanes)
	if _, err := out.WriteString(line); err != nil {
		return err
	}
	enc := encoder{sum: crc32.Checksum([]byte(line), castagnoli()), table: castagnoli()}
	b := enc.seal(appendMemberBody(nil, "db1"), 0)
	ends := make([]int64, lanes)
	for i := range n {
		if _, err := out.Write(b); err != nil {
			return err
		}
		e := BenchEntry(i, lanes)
		from := &ends[i%lanes]
		b = enc.seal(appendEntryBody(b[:0], e, 1, *from), 0)
		*from = int64(e.End)
	}
	if _, err := out.Write(enc.seal(appendEndBody(b, n), len(b))); err != nil {
		return err
	}
	return out.Flush()
}

// BenchEntry is the i-th attempt of a benchmark: each lane writes every 10 ms and
// waits 400 µs for the answer.
func BenchEntry(i, lanes uint64) Entry {
	start := timeline.Offset(i/lanes*10_000_000 + i%lanes*1_000)
	return Entry{
		ID: ID{Writer: uint16(i%lanes + 1), Seq: i/lanes + 1}, Outcome: Acknowledged,
		Start: start, End: start + 400_000 + timeline.Offset(i%7)*13_001, Member: "db1",
	}
}
