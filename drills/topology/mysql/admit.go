package mysql

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"firedrill/drills/topology"
)

// admit makes a member follow the primary, or keeps it out if it has
// transactions that the primary lacks.
func (r *restoring) admit(ctx context.Context, n, primary *Node) error {
	was := slices.Contains(r.keep.With(topology.Primary), n.Name())
	did, err := r.k.Follow(ctx, n, primary, was)
	if did != "" || err != nil {
		r.step("re-admit", n, did, err)
	}
	var errant *Errant
	if !errors.As(err, &errant) && !errors.Is(err, ErrPurged) {
		return err
	}
	if len(r.cfg.Reclone) > 0 {
		if errant != nil {
			r.errant(n, errant.Missing.String())
		}
		if err = r.reclone(ctx, n, primary); err == nil {
			return nil
		}
	} else if errant != nil {
		r.errant(n, errant.Missing.String())
	}
	out := r.k.KeepOut(ctx, n)
	r.step("keep out", n, "read-only, replication stopped", out)
	r.mu.Lock()
	r.out.KeptOut[n.Name()] = err.Error()
	r.mu.Unlock()
	return out
}

func (r *restoring) errant(n *Node, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Errant[n.Name()] = text
}

// reclone rebuilds a member with the configured command.
func (r *restoring) reclone(ctx context.Context, n, primary *Node) error {
	if err := r.k.KeepOut(ctx, n); err != nil {
		return err
	}
	fill := strings.NewReplacer("{member}", n.Name(), "{primary}", primary.Name(),
		"{member.address}", n.Member.Address(), "{primary.address}", primary.Member.Address())
	var argv []string
	for _, a := range r.cfg.Reclone {
		argv = append(argv, fill.Replace(a))
	}
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("rebuild %s with %s: %w: %s", n.Name(), argv[0], err, lastLine(string(out)))
	} else {
		_, err = r.k.Follow(ctx, n, primary, true)
	}
	r.step("rebuild", n, "from "+primary.Name()+" with "+argv[0], err)
	return err
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Route leads every route of the component that serves its primary to a member,
// and tells note of each that had to be switched.
func Route(ctx context.Context, c *topology.Component, member string, note func(topology.Step)) error {
	var errs []error
	for _, rt := range c.Routes {
		if rt.Router == nil || rt.Spec.Serves != "primary" && rt.Spec.Serves != "" {
			continue
		}
		now, err := rt.Router.Current(ctx)
		if err == nil && (slices.Equal(now, []string{member}) || rt.Spec.Kind == "fixed" && len(now) != 1) {
			continue // a fixed route that does not say where it leads follows by itself
		}
		s := topology.Step{Name: "switch route " + rt.Spec.Name, Member: member, Detail: fmt.Sprintf("was %s", orNobody(now))}
		if err = rt.Router.Switch(ctx, member); err != nil {
			err = fmt.Errorf("route %s: %w", rt.Spec.Name, err)
			s.Err = err.Error()
		}
		note(s)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func orNobody(members []string) string {
	if len(members) == 0 {
		return "nobody"
	}
	return strings.Join(members, ", ")
}
