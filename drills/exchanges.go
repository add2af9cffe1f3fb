package drills

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill/drills/timeline"
)

// exchangesWithin bounds the fetching of what the faults saw on the wire.
const exchangesWithin = 30 * time.Second

// collectExchanges writes down every request that the faults' fault points saw.
// Without them nobody can say what was answered, and billed, twice; the rest of
// the drill stands.
func (r *run) collectExchanges(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, exchangesWithin)
	defer cancel()
	var wires []*made
	for _, m := range r.intents() {
		if m.Sort != sortFault {
			continue
		}
		if inj, err := r.o.Plugins.Injectors.Build(m.Kind, m.With); err == nil {
			if _, ok := inj.(Wire); ok {
				wires = append(wires, m)
			}
		}
	}
	if len(wires) == 0 {
		return
	}
	if err := r.writeExchanges(ctx, wires); err != nil {
		r.caveat("what went over the wire is not known in full, so it is left out: %v", err)
	}
}

// own tells whether an id is of this run's probes, or of a witness or remedy. What
// others put into the field "user" is who their users are, which no record may keep.
func (r *run) own(id string) bool {
	return strings.HasPrefix(id, r.o.RunID+"-") || strings.HasPrefix(id, "firedrill-")
}

// writeExchanges makes the file only if it is whole: from a part of it nobody could
// tell what was not billed.
func (r *run) writeExchanges(ctx context.Context, wires []*made) (err error) {
	path := filepath.Join(r.o.Dir, timeline.ExchangesFile)
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(f.Name(), path)
		}
		os.Remove(f.Name())
	}()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	seen := map[string]bool{} // two faults on one fault point saw the same
	for _, m := range wires {
		inj, err := r.o.Plugins.Injectors.Build(m.Kind, m.With)
		if err != nil {
			return err
		}
		for x, err := range inj.(Wire).Exchanges(ctx, Undo{Says: m.Says, Data: m.Undo}) {
			if err != nil {
				return fmt.Errorf("fault %s: %w", m.Name, err)
			}
			key := fmt.Sprint(x.Member, x.From.UnixNano(), x.ID)
			if seen[key] {
				continue
			}
			seen[key] = true
			if !r.own(x.ID) {
				x.ID = ""
			}
			if err := enc.Encode(x); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush(), f.Sync())
}
