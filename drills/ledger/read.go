package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Read yields the entries of a ledger's file in the order in which they were
// recorded; each writer's sequence is dense and rising. An error ends it: one that
// is ErrTorn says that the file breaks off there, any other that it could not be
// read. The file may be read again and again, and while it is being written.
func Read(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		in, err := os.Open(path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read ledger: %w", err))
			return
		}
		defer in.Close() //nolint:errcheck // only read from
		d := newDecoder(in)
		if err := d.begin(); err != nil {
			yield(Entry{}, fmt.Errorf("read ledger %s: %w", path, err))
			return
		}
		for {
			e, err := d.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("read ledger %s: byte %d, after %d attempts: %w", path, d.offset(), d.entries, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// window is a buffered view of the file, wide enough for any record.
type window struct {
	src  io.Reader
	buf  []byte
	r, w int
	gone int64 // bytes of the file before buf
	eof  bool
	err  error
}

// fill slides the window and reads until it is full or the file ends.
func (v *window) fill() {
	v.gone += int64(v.r)
	v.w = copy(v.buf, v.buf[v.r:v.w])
	v.r = 0
	for v.w < len(v.buf) && !v.eof {
		n, err := v.src.Read(v.buf[v.w:])
		v.w += n
		if err != nil {
			v.eof = true
			if !errors.Is(err, io.EOF) {
				v.err = err
			}
		}
	}
}

// rest returns what is buffered: at least a record, unless the file ends.
func (v *window) rest() []byte {
	if v.w-v.r < maxRecord && !v.eof {
		v.fill()
	}
	return v.buf[v.r:v.w]
}

func (v *window) offset() int64 { return v.gone + int64(v.r) }

// begin reads the first line.
func (d *decoder) begin() error {
	d.fill()
	line, _, found := bytes.Cut(d.rest(), []byte("\n"))
	if d.err != nil {
		return d.err
	}
	if !found {
		return ErrTorn
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return fmt.Errorf("first line: %w", err)
	}
	if h.Format != formatV1 {
		return fmt.Errorf("first line: format %q, want %q", h.Format, formatV1)
	}
	d.take(len(line) + 1)
	return nil
}
