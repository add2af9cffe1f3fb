package lab

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// routeWithin bounds each look at the route: a proxy that hangs is a problem to
// report.
const routeWithin = 2 * time.Second

// routeStatus looks at the proxy from both sides: what it says, and what a
// client gets.
func (l *databases) routeStatus(ctx context.Context, st *Status) []string {
	r, err := l.proxy.Router()
	if err != nil {
		return []string{err.Error()}
	}
	asked, cancel := context.WithTimeoutCause(ctx, routeWithin, fmt.Errorf("no answer within %s", routeWithin))
	defer cancel()
	ready, err := r.Current(asked)
	if err != nil {
		return []string{err.Error()}
	}
	st.LeadsTo = ready
	for _, m := range st.Members {
		if m.Role == "primary" && !slices.Equal(ready, []string{m.Name}) {
			return []string{fmt.Sprintf("the route leads to %v, the primary is %s", ready, m.Name)}
		}
	}
	if err := l.readSecrets(); err != nil {
		return []string{err.Error()}
	}
	if err := l.throughRoute(ctx, logIn); err != nil {
		return []string{fmt.Sprintf("route %s: %v", l.Route, err)}
	}
	return nil
}

// throughRoute connects as applications do and calls do.
func (l *databases) throughRoute(ctx context.Context, do func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, routeWithin)
	defer cancel()
	db, err := OpenAddress(l.namespace, l.Route, AppUser, l.accounts.App)
	if err != nil {
		return err
	}
	defer db.Close()
	return do(ctx, db)
}

// logIn is all that a look at a lab may do.
func logIn(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }

// firstWrite shows that the route takes writes. It stays: a lab begins with a
// history, as real clusters do, so that no position in it is empty.
func firstWrite(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "CREATE DATABASE firedrill")
	return err
}
