package ledger

import "iter"

// batchLen entries are handed over at once, so that the hand-over costs nothing.
const batchLen = 2048

// eachEntry calls do for each entry and returns the first error of either. The
// entries are read ahead on another core, since decoding and judging 10⁹ of them
// takes about as long each. Both have ended when it returns.
func eachEntry(entries iter.Seq2[Entry, error], do func(*Entry) error) error {
	full, empty := make(chan []Entry, 1), make(chan []Entry, 3)
	for range cap(empty) {
		empty <- nil // they grow as needed: most ledgers are small
	}
	stop := make(chan struct{})
	var readErr error
	go func() {
		defer close(full)
		readErr = fillBatches(entries, full, empty, stop)
	}()
	var doErr error
	for batch := range full {
		for i := 0; i < len(batch) && doErr == nil; i++ {
			if doErr = do(&batch[i]); doErr != nil {
				close(stop)
			}
		}
		empty <- batch[:0]
	}
	if doErr != nil {
		return doErr
	}
	return readErr
}

// fillBatches reads entries into batches until they end or stop is closed.
func fillBatches(entries iter.Seq2[Entry, error], full chan<- []Entry, empty <-chan []Entry, stop <-chan struct{}) error {
	batch := <-empty
	for e, err := range entries {
		if err != nil {
			full <- batch
			return err
		}
		if batch = append(batch, e); len(batch) < batchLen {
			continue
		}
		full <- batch
		select {
		case <-stop:
			return nil
		case batch = <-empty:
		}
	}
	full <- batch
	return nil
}
