package probes

import (
	"context"
	"fmt"
	"io"
)

// pool keeps one connection per lane, the way an application's pool with that
// many busy workers does. Connections are taken in turn, not the last used
// first: after a fault each of them must have its bad moment, as it has in an
// application under load; a pool that keeps handing out the one connection that
// works would hide the others. A connection that broke is replaced when its lane
// is next used, never earlier.
type pool[T io.Closer] struct {
	lanes chan *lane[T]
	// dial makes a connection.
	dial func(ctx context.Context) (T, error)
	// usable is the cheap check that pools do before they hand out a connection:
	// it sends nothing.
	usable func(T) bool
}

// lane holds at most one connection; one observation at a time has it.
type lane[T io.Closer] struct {
	conn T
	open bool
}

func newPool[T io.Closer](lanes int, dial func(context.Context) (T, error), usable func(T) bool) *pool[T] {
	p := &pool[T]{lanes: make(chan *lane[T], max(lanes, 1)), dial: dial, usable: usable}
	for range cap(p.lanes) {
		p.lanes <- &lane[T]{}
	}
	return p
}

// with runs use on a connection of the next lane. use says whether the
// connection can be used again.
func (p *pool[T]) with(ctx context.Context, use func(T) (keep bool)) error {
	select {
	case l := <-p.lanes:
		defer func() { p.lanes <- l }()
		return p.on(ctx, l, use)
	case <-ctx.Done():
		return fmt.Errorf("wait for one of %d pooled connections: %w", cap(p.lanes), ctx.Err())
	}
}

func (p *pool[T]) on(ctx context.Context, l *lane[T], use func(T) bool) error {
	if l.open && !p.usable(l.conn) {
		l.close()
	}
	if !l.open {
		c, err := p.dial(ctx)
		if err != nil {
			return err
		}
		l.conn, l.open = c, true
	}
	if !use(l.conn) {
		l.close()
	}
	return nil
}

// close forgets the connection; what a broken one says when it is closed does
// not matter.
func (l *lane[T]) close() {
	var none T
	_ = l.conn.Close()
	l.conn, l.open = none, false
}

// Close closes every connection; it waits for observations under way, which end
// by their deadlines.
func (p *pool[T]) Close() error {
	for range cap(p.lanes) {
		if l := <-p.lanes; l.open {
			l.close()
		}
	}
	return nil
}
