package lab

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/proc"
	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// repair starts what does not run, lets go on what is stopped (SIGSTOP), and ends
// the faults that are still made: an interrupted drill may have left all of these.
func (l *models) repair(ctx context.Context) error {
	for _, p := range l.processes() {
		pid := p.pid(ctx)
		if pid == 0 {
			l.say("%s was not running: starting it", p.name)
			continue
		}
		if q, err := proc.Read(pid); err == nil && q.Stopped() {
			l.say("%s was stopped by a signal: letting it go on", p.name)
			if err := q.Signal(unix.SIGCONT); err != nil {
				return err
			}
		}
	}
	if err := l.endFaults(ctx); err != nil {
		return err
	}
	if err := l.install(ctx); err != nil {
		return err
	}
	if err := l.start(ctx); err != nil {
		return err
	}
	return l.gateway.reset(ctx)
}

// endFaults makes the vendors well, and ends a fault point that makes faults: it
// makes none when it is started again.
func (l *models) endFaults(ctx context.Context) error {
	for _, v := range l.vendors {
		mode := l.mode(ctx, v.name)
		if mode == vendor.Healthy {
			continue // one that does not run is started well
		}
		l.say("%s was told to fail (%s): telling it not to", v.name, mode)
		if err := vendor.NewAdmin(l.socket(v.name)).SetMode(ctx, vendor.Mode{}); err != nil {
			return err
		}
	}
	st, err := faultpoint.NewClient(l.socket(l.faultPoint.name)).State(ctx)
	if err != nil || len(st.Faults) == 0 {
		return nil //nolint:nilerr // one that does not run makes none
	}
	l.say("%s still made %d faults: starting it anew", l.faultPoint.name, len(st.Faults))
	return l.faultPoint.kill(ctx, syscall.SIGKILL)
}
