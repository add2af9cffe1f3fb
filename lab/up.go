package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// startLimit bounds the start of one process; a warm one takes a second.
const startLimit = 60 * time.Second

// Up brings the lab of that name under home up and returns the path of its
// topology file, once clients are served through the route. A lab that is up and
// healthy is left alone; one that is up in part is repaired or, where that cannot
// be done without losing writes, built anew, which progress says. progress may be
// nil.
func Up(ctx context.Context, home, name string, progress func(string)) (string, error) {
	l, err := open(home, name, progress)
	if err != nil {
		return "", err
	}
	if err := l.checkPackages(); err != nil {
		return "", fmt.Errorf("lab %s: %w", name, err)
	}
	unlock, err := lock(ctx, home)
	if err != nil {
		return "", fmt.Errorf("lab %s: %w", name, err)
	}
	defer unlock()
	if err := l.up(ctx); err != nil {
		return "", fmt.Errorf("lab %s: %w", name, err)
	}
	return l.topologyFile(), nil
}

func (l *lab) up(ctx context.Context) error {
	if l.made() {
		if st := l.status(ctx); st.State == Healthy {
			return nil
		}
		err := l.repair(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		l.say("lab %s cannot be repaired (%v): building it anew", l.Name, err)
	}
	if err := l.destroy(ctx); err != nil {
		return err
	}
	if err := l.create(ctx); err != nil {
		return errors.Join(err, l.destroy(context.WithoutCancel(ctx)))
	}
	return nil
}

// create builds the lab where nothing is.
func (l *lab) create(ctx context.Context) error {
	if err := l.make.fetch(ctx); err != nil {
		return err
	}
	if err := l.makePlaces(ctx); err != nil {
		return err
	}
	if err := l.make.create(ctx); err != nil {
		return err
	}
	if err := l.writeTopology(); err != nil {
		return err
	}
	return l.healthy(ctx)
}

// repairLimit bounds a repair: beyond it, building anew is faster.
const repairLimit = 15 * time.Second

// repair puts a lab right whose processes ended, or whose machine was started
// again.
func (l *lab) repair(ctx context.Context) error {
	limit := repairLimit
	if p, ok := l.make.(patient); ok {
		limit = p.repairLimit()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.makePlaces(ctx); err != nil {
		return err
	}
	if err := l.make.repair(ctx); err != nil {
		return err
	}
	return l.healthy(ctx)
}

// healthy waits until nothing is wrong any more: as long as a start may take.
func (l *lab) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return wait(ctx, "lab "+l.Name+" to be healthy", func() error {
		if st := l.status(ctx); st.State != Healthy {
			return fmt.Errorf("%v", st.Problems)
		}
		return nil
	})
}
