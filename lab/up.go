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
// topology file, once a write through the route has reached every member. A lab that is up and healthy is left alone; one that is
// up in part is repaired or, where that cannot be done without losing writes,
// built anew, which progress says. progress may be nil.
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
	if err := l.fetch(ctx); err != nil {
		return err
	}
	if err := l.makePlaces(ctx); err != nil {
		return err
	}
	if err := l.makeSecrets(); err != nil {
		return err
	}
	l.say("starting %d servers", len(l.servers))
	if err := l.startServers(ctx); err != nil {
		return err
	}
	primary := l.servers[0]
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := Replicate(ctx, primary, l.servers[1:]...); err != nil {
		return err
	}
	if err := l.proxy.Start(ctx, primary.Name); err != nil {
		return err
	}
	if err := l.throughRoute(ctx, firstWrite); err != nil {
		return fmt.Errorf("write through route %s: %w", l.Route, err)
	}
	if err := following(ctx, primary, l.servers[1:]); err != nil {
		return err
	}
	if err := l.writeTopology(); err != nil {
		return err
	}
	return l.healthy(ctx)
}

// fetch gets a server that no package of the system has.
func (l *lab) fetch(ctx context.Context) error {
	if _, err := l.engine.program(l.cache); err == nil || l.engine != (mysqld{}) {
		return err
	}
	l.say("downloading a MySQL server, about 70 MB, this once")
	return FetchMySQL(ctx, l.cache)
}

// startServers starts all servers. The first builds the template that the
// others copy, if there is none yet.
func (l *lab) startServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if _, err := l.engine.template(ctx, l.servers[0]); err != nil {
		return fmt.Errorf("prepare a data directory: %w", err)
	}
	return l.each(ctx, func(ctx context.Context, s *Server) error { return s.Start(ctx) })
}

// healthy waits until nothing is wrong any more.
func (l *lab) healthy(ctx context.Context) error {
	return wait(ctx, "lab "+l.Name+" to be healthy", func() error {
		if st := l.status(ctx); st.State != Healthy {
			return fmt.Errorf("%v", st.Problems)
		}
		return nil
	})
}
