package injectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/mysql"
)

// MySQLReadOnlySpec has no parameters.
type MySQLReadOnlySpec struct{}

type mysqlReadOnly struct{}

func newMySQLReadOnly(MySQLReadOnlySpec) (drills.Injector, error) { return mysqlReadOnly{}, nil }

// Prepare needs every target to take writes.
func (mysqlReadOnly) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	return mysqlBefore(ctx, t, "let %s take writes again, unless another member has taken over", func(s mysql.Seen) error {
		if s.State.ReadOnly {
			return errors.New("it is read-only already: the fault would change nothing")
		}
		return nil
	})
}

// Inject sets read_only (MySQL: super_read_only) and cuts no session.
func (mysqlReadOnly) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	return onTargets(t, func(_ *mysql.Cluster, n *mysql.Node) error {
		return n.Server.Claiming(mysqlClaim).SetReadOnly(ctx, true)
	})
}

// Confirm has two witnesses: another connection reads the variable, and the
// application's account is refused a write that would change nothing.
func (mysqlReadOnly) Confirm(ctx context.Context, _ drills.Target, u drills.Undo) (string, error) {
	var m mysqlUndo
	k, nodes, err := m.open(u)
	if err != nil {
		return "", err
	}
	defer k.Close()
	var seen []string
	for _, n := range nodes {
		app, err := mysql.Open(k.Config.AsApplication(), n.Member.Address())
		if err != nil {
			return "", err
		}
		defer app.Close()
		err = poll.Until(ctx, lookEvery, func(ctx context.Context) error {
			if on, err := n.Server.ReadOnly(ctx); err != nil || !on {
				return errors.Join(err, errors.New("read_only is off"))
			}
			return refusedWrite(ctx, app, k.Config)
		})
		if err != nil {
			return "", fmt.Errorf("member %s: %w", n.Name(), err)
		}
		seen = append(seen, fmt.Sprintf("member %s: another connection reads read_only=ON, and a write as %q is refused",
			n.Name(), k.Config.AsApplication().User))
	}
	return strings.Join(seen, "; "), nil
}

// optionPrevents is the error of a write to a read-only server.
const optionPrevents = 1290

// refusedWrite returns nil if a write is refused because of read_only. Servers
// check that before they look for the table, which does not exist.
func refusedWrite(ctx context.Context, app *mysql.Server, cfg mysql.Config) error {
	err := app.Exec(ctx, "DELETE FROM `"+strings.ReplaceAll(cfg.Database, "`", "``")+"`.`firedrill_no_such_table` WHERE 1=0")
	var e *driver.MySQLError
	switch {
	case errors.As(err, &e) && e.Number == optionPrevents:
		return nil
	case errors.As(err, &e) && e.Number != 1045:
		return poll.Stop(fmt.Errorf("read_only does not bind account %q (it answers: %w): probe with one that it binds, with.application", cfg.AsApplication().User, err))
	}
	return fmt.Errorf("a write was not refused: %w", err)
}

// Revert lets the targets take writes again. One that another member has taken
// over from stays read-only: there must not be two.
func (mysqlReadOnly) Revert(ctx context.Context, u drills.Undo) error {
	var m mysqlUndo
	k, nodes, err := m.open(u)
	if err != nil {
		return err
	}
	defer k.Close()
	ended := mysql.Parallel(nodes, func(n *mysql.Node) error { return n.Server.EndClaim(ctx, mysqlClaim) })
	p := k.Look(ctx)
	return revertEach(nodes, func(n *mysql.Node) error {
		s := p.Of(n)
		if err := cmp.Or(s.Err, ended[n.Name()]); err != nil {
			return errors.New(mysql.Problem(k.Config, n.Server.Address(), err))
		}
		if !s.State.ReadOnly {
			return nil
		}
		if why := takenOver(k, p, s, m.Sources[n.Name()]); why != "" {
			return fmt.Errorf("it stays read-only, %s: %w", why, drills.ErrGone)
		}
		return n.Server.SetReadOnly(ctx, false)
	})
}

// takenOver says why a member must not take writes any more; "" if it may. was is
// whom it followed before.
func takenOver(k *mysql.Cluster, p mysql.Picture, s mysql.Seen, was string) string {
	if l := s.State.Link; l != nil && l.Source != was {
		return "it follows " + l.Source
	}
	for _, o := range p {
		if o.Node == s.Node || !o.Up() {
			continue
		}
		if k.TakesWrites(p, o) {
			return o.Name() + " takes writes"
		}
		if src := k.Source(p, o); src != nil && src != s.Node && was == "" {
			return o.Name() + " follows " + src.Name()
		}
	}
	return ""
}
