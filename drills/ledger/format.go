package ledger

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// The ledger's file
//
// The first line is JSON, ended by a line feed:
//
//	{"format":"firedrill/ledger/v1","name":"orders","epoch":"2026-01-02T03:04:05.6Z","lanes":1024}
//
// epoch is the wall clock at offset 0 and may be missing; it labels only. Binary
// records follow until the end, each a body and its check:
//
//	record = body check
//	body   = head …
//	check  = 4 bytes, little endian: the CRC-32C (Castagnoli) of the first line,
//	         line feed included, and of every body up to and including this one
//
// Numbers are varints as in protocol buffers: uvarint is base 128, least
// significant group first; varint is the same after zigzag encoding. The two low
// bits of head (a uvarint) tell the kind of the body:
//
//	0, 1, 2  an attempt that is indeterminate, acknowledged, rejected:
//	         head    = writer<<2 | outcome, writer from 1 to 65535
//	         uvarint member: 0 = unknown, else the n-th name defined
//	         varint  start in ns, minus the end of the writer's attempt before (0 for its first)
//	         uvarint end minus start, in ns
//	3        head 3: the next member name: uvarint length (at most 255), the bytes
//	         head 7: the end: uvarint number of attempts in the file
//
// The sequence is not stored: the n-th attempt of a writer has sequence n. A
// head of 0 does not occur, so zeros left by a crashed file system are not taken
// for records. What follows the first record whose check does not hold is not to
// be trusted. A file without the end record broke off: its runner died, or the
// disk was full.
const formatV1 = "firedrill/ledger/v1"

// ErrTorn ends the reading of a file that broke off; everything read before is
// whole. The runner may have had one more attempt under way in each lane.
var ErrTorn = errors.New("the file breaks off: it was not closed, or its end is damaged")

type header struct {
	Format string     `json:"format"`
	Name   string     `json:"name"`
	Epoch  *time.Time `json:"epoch,omitempty"`
	Lanes  int        `json:"lanes"`
}

const (
	headOther  = 3
	headMember = 0<<2 | headOther
	headEnd    = 1<<2 | headOther

	maxMemberName = 255
	checkLen      = crc32.Size
	// maxRecord is more than the longest record: a member's name.
	maxRecord = 512
)

// castagnoli returns the table of the check; crc32 makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendEntryBody(b []byte, e Entry, member uint64, before int64) []byte {
	b = binary.AppendUvarint(b, uint64(e.ID.Writer)<<2|uint64(e.Outcome))
	b = binary.AppendUvarint(b, member)
	b = binary.AppendVarint(b, int64(e.Start)-before)
	return binary.AppendUvarint(b, uint64(e.End-e.Start))
}

func appendMemberBody(b []byte, name string) []byte {
	b = binary.AppendUvarint(b, headMember)
	b = binary.AppendUvarint(b, uint64(len(name)))
	return append(b, name...)
}

func appendEndBody(b []byte, entries uint64) []byte {
	b = binary.AppendUvarint(b, headEnd)
	return binary.AppendUvarint(b, entries)
}

// encoder turns bodies into records; it carries the running check.
type encoder struct {
	sum   uint32
	table *crc32.Table
}

// seal appends the check of the body that begins at b[from].
func (c *encoder) seal(b []byte, from int) []byte {
	c.sum = crc32.Update(c.sum, c.table, b[from:])
	return binary.LittleEndian.AppendUint32(b, c.sum)
}
