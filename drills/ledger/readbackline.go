package ledger

import (
	"encoding/binary"
	"encoding/json"

	"firedrill/drills/timeline"
)

// The read-back file
//
// One JSON line for each reading of a member (here on several):
//
//	{"member":"db1","when":"recovered","primary":true,"from":0,"rows":9000,
//	 "writers":{"1":{"ranges":[[1,5000],[5002,9000]],"dups":[[17,2]]}}}
//
// ranges are the sequences that are there, both ends included; dups are
// [sequence, copies]. Where the ranges of a block of 65536 sequences would take
// more space than a bitmap, the block is in bits instead: the key is the block's
// first sequence, the value 8 KiB in base64, sequence key+i being bit i%8 (the
// lowest is 0) of byte i/8. Ranges and bits never overlap.
//
// A reading that is too long for a line goes on in the next lines, with the same
// member, when, primary, from and rows; all but its last have "more":true.
type readBackLine struct {
	Member  string                 `json:"member"`
	When    string                 `json:"when"`
	Primary bool                   `json:"primary"`
	From    timeline.Offset        `json:"from"`
	Rows    uint64                 `json:"rows"`
	Writers map[uint16]*writerLine `json:"writers"`
	More    bool                   `json:"more,omitempty"`
}

type writerLine struct {
	Ranges [][2]uint64       `json:"ranges,omitempty"`
	Bits   map[uint64][]byte `json:"bits,omitempty"`
	Dups   [][2]uint64       `json:"dups,omitempty"`
}

// maxLine is about how many bytes of ranges, bits and duplicates a line holds.
const maxLine = 1 << 20

// lineWriter cuts a reading into lines.
type lineWriter struct {
	emit func([]byte) error
	line readBackLine
	size int
	last [2]uint64 // the range under way, while open
	open bool
}

func (w *lineWriter) writer(id uint16) *writerLine {
	if w.line.Writers[id] == nil {
		w.line.Writers[id] = &writerLine{}
	}
	return w.line.Writers[id]
}

// grow counts n more bytes and ends the line if it is full.
func (w *lineWriter) grow(n int) error {
	if w.size += n; w.size < maxLine {
		return nil
	}
	return w.flush(true)
}

func (w *lineWriter) flush(more bool) error {
	w.line.More = more
	b, err := json.Marshal(w.line)
	if err != nil {
		return err
	}
	w.line.Writers, w.size = map[uint16]*writerLine{}, 0
	return w.emit(append(b, '\n'))
}

// presence writes what is there of one writer.
func (w *lineWriter) presence(id uint16, p *presence) error {
	for i := range p.set.blocks {
		k := &p.set.blocks[i]
		var err error
		if k.bits != nil {
			err = w.bits(id, k)
		} else {
			err = w.runs(id, k)
		}
		if err != nil {
			return err
		}
	}
	if err := w.put(id); err != nil {
		return err
	}
	return w.dups(id, p.dups)
}

// runs writes a block's runs; the last waits for what may join it.
func (w *lineWriter) runs(id uint16, k *block) error {
	for _, r := range k.runs {
		from, to := k.base+uint64(r.from), k.base+uint64(r.to)
		if w.open && from == w.last[1]+1 {
			w.last[1] = to
			continue
		}
		if err := w.put(id); err != nil {
			return err
		}
		w.last, w.open = [2]uint64{from, to}, true
	}
	return nil
}

// put writes the range that waits, if any.
func (w *lineWriter) put(id uint16) error {
	if !w.open {
		return nil
	}
	w.open = false
	l := w.writer(id)
	l.Ranges = append(l.Ranges, w.last)
	return w.grow(24)
}

func (w *lineWriter) bits(id uint16, k *block) error {
	if err := w.put(id); err != nil {
		return err
	}
	l := w.writer(id)
	if l.Bits == nil {
		l.Bits = map[uint64][]byte{}
	}
	b := make([]byte, 0, blockLen/8)
	for _, word := range k.bits {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	l.Bits[k.base] = b
	return w.grow(len(b) * 4 / 3)
}

func (w *lineWriter) dups(id uint16, dups []Dup) error {
	for _, d := range dups {
		l := w.writer(id)
		l.Dups = append(l.Dups, [2]uint64{d.Seq, d.Copies})
		if err := w.grow(24); err != nil {
			return err
		}
	}
	return nil
}
