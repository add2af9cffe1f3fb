package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// AppendReadBack adds a reading to the read-back file at path, which is made if
// it is not there, and syncs it.
func AppendReadBack(path string, rb ReadBack) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("append to read-back file: %w", err)
	}
	out := bufio.NewWriterSize(f, 1<<16)
	err = writeReadBack(out, rb)
	if err == nil {
		err = out.Flush()
	}
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("append to read-back file: member %s: %w", rb.Member, err)
	}
	return nil
}

func writeReadBack(out io.Writer, rb ReadBack) error {
	w := lineWriter{line: readBackLine{
		Member: rb.Member, When: rb.When, Primary: rb.Primary, From: rb.From, Rows: rb.Rows,
		Writers: map[uint16]*writerLine{},
	}}
	w.emit = func(b []byte) error { _, err := out.Write(b); return err }
	for _, id := range rb.Writers() {
		if err := w.presence(id, rb.writers[id]); err != nil {
			return err
		}
	}
	return w.flush(false)
}

// ReadBacks reads a read-back file: its readings in the order in which they were
// added. If its end is damaged, it returns the readings that are whole, and
// ErrTorn. A file that is not there holds no readings.
func ReadBacks(path string) ([]ReadBack, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read read-back file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	all, err := readReadBacks(f)
	if err != nil {
		return all, fmt.Errorf("read read-back file %s: %w", path, err)
	}
	return all, nil
}

func readReadBacks(src io.Reader) ([]ReadBack, error) {
	in := bufio.NewReaderSize(src, 1<<16)
	var all []ReadBack
	var r lineReader
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 || r.open {
				return all, fmt.Errorf("line %d: %w", n, ErrTorn)
			}
			return all, nil
		}
		if err != nil {
			return all, err
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		var l readBackLine
		if err := dec.Decode(&l); err != nil {
			return all, fmt.Errorf("line %d: %w", n, err)
		}
		whole, err := r.add(l)
		if err != nil {
			return all, fmt.Errorf("line %d: %w", n, err)
		}
		if whole {
			all = append(all, r.rb)
		}
	}
}
