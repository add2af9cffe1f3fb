package drills

import (
	"context"
	"fmt"
	"time"
)

// attendEvery is how often faults are asked whether they are in force still.
const attendEvery = time.Second

// attend asks the faults that can tell, and that stay until they are reverted, again
// and again whether they are in force: if one is not, nothing can be concluded any
// more, and what made it may have died and do harm of its own. end ends the asking.
func (r *run) attend(ctx context.Context) (end func()) {
	type holder struct {
		name string
		how  Undo
		Holder
	}
	var all []holder
	for _, m := range r.intents() {
		if m.Sort != sortFault || m.until > 0 || m.undone {
			continue
		}
		inj, err := r.o.Plugins.Injectors.Build(m.Kind, m.With)
		if h, ok := inj.(Holder); ok && err == nil {
			all = append(all, holder{m.Name, Undo{Says: m.Says, Data: m.Undo}, h})
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed := make([]int, len(all))
		for len(all) > 0 && r.pause(ctx, attendEvery) == nil {
			for i, h := range all {
				within, done := context.WithTimeout(ctx, heldWithin)
				err := h.Held(within, h.how)
				done()
				if failed[i]++; err == nil {
					failed[i] = 0
				}
				// A single no may be an answer that came too late.
				if failed[i] > 1 && ctx.Err() == nil {
					err = fmt.Errorf("fault %s is not in force any more: %w", h.name, err)
					r.lapse.Store(&err)
					return
				}
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		r.lapse.Store(nil) // what comes now is the way back
	}
}

// lapsed is why a fault is not in force any more; nil as far as is known.
func (r *run) lapsed() error {
	if err := r.lapse.Load(); err != nil {
		return *err
	}
	return nil
}
