package ledger

import (
	"fmt"
	"time"
)

// append writes one entry; before is the end of the lane's entry before it. The
// write goes out under the mutex, one per entry: a group of entries could share
// one, since each Record waits for its own, but a write into the page cache is
// cheaper than the hand-over would be.
func (f *File) append(e Entry, before int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	if f.err != nil {
		return f.err
	}
	b := f.buf[:0]
	member, known := f.members[e.Member]
	if !known && e.Member != "" {
		member = uint64(len(f.members) + 1)
		f.members[e.Member] = member
		b = f.enc.seal(appendMemberBody(b, e.Member), 0)
	}
	from := len(b)
	b = f.enc.seal(appendEntryBody(b, e, member, before), from)
	f.buf = b
	f.write(b)
	if f.err == nil {
		f.entries++
	}
	return f.err
}

// write appends b to the file; f.mu is held.
func (f *File) write(b []byte) {
	_, err := f.out.Write(b)
	f.fail(err)
	f.dirty.Store(true)
}

// fail keeps the first error; f.mu is held.
func (f *File) fail(err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("write ledger %s: %w", f.path, err)
	}
}

// keepSynced syncs every SyncEvery what was written since, until stop is closed.
// The sync runs outside the mutex: writers do not queue behind the disk.
func (f *File) keepSynced() {
	defer close(f.stopped)
	tick := time.NewTicker(SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		if !f.dirty.Swap(false) {
			continue
		}
		if err := f.out.Sync(); err != nil {
			f.mu.Lock()
			f.fail(err)
			f.mu.Unlock()
		}
	}
}
