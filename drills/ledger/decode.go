package ledger

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"

	"firedrill/drills/timeline"
)

// decoder reads the records of a file.
type decoder struct {
	window
	sum     uint32
	table   *crc32.Table
	members []string
	writers []decodedLane // by writer
	entries uint64
	closed  bool
}

type decodedLane struct {
	seq uint64
	end int64
}

func newDecoder(src io.Reader) *decoder {
	return &decoder{
		window: window{src: src, buf: make([]byte, 256<<10)}, table: castagnoli(),
		members: []string{""}, // index 0: unknown
	}
}

// take adds the next n bytes to the check and moves past them.
func (d *decoder) take(n int) {
	d.sum = crc32.Update(d.sum, d.table, d.buf[d.r:d.r+n])
	d.r += n
}

// next returns the next entry; io.EOF after the end record, ErrTorn before.
func (d *decoder) next() (Entry, error) {
	for {
		b := d.rest()
		if d.err != nil {
			return Entry{}, d.err
		}
		if d.closed {
			if len(b) > 0 {
				return Entry{}, errors.New("there are bytes after the end record")
			}
			return Entry{}, io.EOF
		}
		f := fields{b: b}
		head := f.uvarint()
		var e Entry
		var err error
		if head&3 == headOther {
			err = d.other(&f, head)
		} else {
			e, err = d.entry(&f, head)
		}
		if err != nil || head&3 != headOther {
			return e, err
		}
	}
}

// check verifies the record whose body f has read and moves past it.
func (d *decoder) check(f *fields) bool {
	if f.bad || len(f.b) < f.n+checkLen {
		return false
	}
	sum := crc32.Update(d.sum, d.table, f.b[:f.n])
	if sum != binary.LittleEndian.Uint32(f.b[f.n:]) {
		return false
	}
	d.sum = sum
	d.r += f.n + checkLen
	return true
}

func (d *decoder) entry(f *fields, head uint64) (Entry, error) {
	writer := head >> 2
	member, start, took := f.uvarint(), f.varint(), f.uvarint()
	if writer == 0 || writer > math.MaxUint16 || member >= uint64(len(d.members)) || !d.check(f) {
		return Entry{}, ErrTorn
	}
	for int(writer) >= len(d.writers) {
		d.writers = append(d.writers, decodedLane{})
	}
	l := &d.writers[writer]
	l.seq++
	start += l.end
	l.end = start + int64(took)
	d.entries++
	return Entry{
		ID: ID{Writer: uint16(writer), Seq: l.seq}, Outcome: Outcome(head & 3),
		Start: timeline.Offset(start), End: timeline.Offset(l.end), Member: d.members[member],
	}, nil
}

func (d *decoder) other(f *fields, head uint64) error {
	switch head {
	case headMember:
		name := string(f.bytes(f.uvarint()))
		if !d.check(f) {
			return ErrTorn
		}
		d.members = append(d.members, name)
	case headEnd:
		if n := f.uvarint(); !d.check(f) || n != d.entries {
			return ErrTorn
		}
		d.closed = true
	default:
		return ErrTorn
	}
	return nil
}

// fields reads the fields of one body; bad is set when one does not fit.
type fields struct {
	b   []byte
	n   int
	bad bool
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b[f.n:])
	f.bad = f.bad || n <= 0
	f.n += max(n, 0)
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b[f.n:])
	f.bad = f.bad || n <= 0
	f.n += max(n, 0)
	return v
}

func (f *fields) bytes(n uint64) []byte {
	if n > maxMemberName || f.n+int(n) > len(f.b) {
		f.bad = true
		return nil
	}
	f.n += int(n)
	return f.b[f.n-int(n) : f.n]
}
