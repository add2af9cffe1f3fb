package lab

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/proc"
)

// repair loses no write: where roles are in doubt it returns an error.
func (l *databases) repair(ctx context.Context) error {
	if err := l.readSecrets(); err != nil {
		return err
	}
	if err := l.each(ctx, l.revive); err != nil {
		return err
	}
	primary, err := l.findPrimary(ctx)
	if err != nil {
		return err
	}
	if err := l.resume(ctx, primary); err != nil {
		return err
	}
	if l.proxy.PID(ctx) == 0 {
		l.say("the proxy was not running: starting it")
	}
	if err := l.proxy.Start(ctx, primary.Name); err != nil {
		return err
	}
	r, err := l.proxy.Router()
	if err != nil {
		return err
	}
	return r.Switch(ctx, primary.Name)
}

// revive starts a server that does not run, and lets one go on that is stopped
// (SIGSTOP), as an interrupted drill may have left it.
func (l *databases) revive(ctx context.Context, s *Server) error {
	pid := s.PID(ctx)
	if pid == 0 {
		l.say("%s was not running: starting it", s.Name)
		return s.Start(ctx)
	}
	if p, err := proc.Read(pid); err == nil && p.Stopped() {
		l.say("%s was stopped by a signal: letting it go on", s.Name)
		if err := p.Signal(unix.SIGCONT); err != nil {
			return err
		}
	}
	return s.Start(ctx)
}

// findPrimary is the one server that takes writes; or, if none does, the one
// that all others were following, which is then opened.
func (l *databases) findPrimary(ctx context.Context) (*Server, error) {
	var writable []*Server
	followers := map[string]int{}
	for _, s := range l.servers {
		st, err := s.standing(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s %w", s.Name, err)
		}
		if !st.readOnly {
			writable = append(writable, s)
		}
		followers[st.source]++
	}
	if len(writable) > 1 {
		return nil, fmt.Errorf("%v take writes at the same time", names(writable))
	}
	if len(writable) == 1 {
		return writable[0], nil
	}
	for _, s := range l.servers {
		if followers[s.Address] == len(l.servers)-1 {
			l.say("%s came back read-only and every other server follows it: opening it", s.Name)
			return s, s.exec(ctx, s.engine.open(s.SemiSync)...)
		}
	}
	return nil, errors.New("no server takes writes, and none is followed by all others")
}

// resume lets the replicas go on that have the right source but stand still, as
// after a restart. A server with another source may have writes of its own.
func (l *databases) resume(ctx context.Context, primary *Server) error {
	for _, s := range l.servers {
		st, err := s.standing(ctx)
		if err != nil {
			return fmt.Errorf("%s %w", s.Name, err)
		}
		switch {
		case s == primary || st.running && st.source == primary.Address:
		case st.source == primary.Address:
			l.say("%s follows %s again", s.Name, primary.Name)
			if err := s.exec(ctx, s.engine.resume()...); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s does not follow %s and may have writes of its own", s.Name, primary.Name)
		}
	}
	return nil
}
