package lab

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// namedRow returns the first row of a query by column names; sql.ErrNoRows if
// there is none.
func namedRow(ctx context.Context, db *sql.DB, query string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, err
		}
		return nil, sql.ErrNoRows
	}
	values, into := make([]sql.RawBytes, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, n := range names {
		row[n] = string(values[i])
	}
	return row, nil
}

// standing asks the server what it is.
func (s *Server) standing(ctx context.Context) (standing, error) {
	db, err := s.Root()
	if err != nil {
		return standing{}, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	st, err := s.engine.standing(ctx, db)
	if err != nil {
		return st, fmt.Errorf("does not answer: %w", err)
	}
	return st, nil
}

// Replicate makes primary take writes and the replicas follow it, and returns
// once every replica replicates and has what the primary had.
func Replicate(ctx context.Context, primary *Server, replicas ...*Server) error {
	if err := primary.exec(ctx, primary.engine.open(false)...); err != nil {
		return fmt.Errorf("open %s: %w", primary.Name, err)
	}
	for _, r := range replicas {
		if err := r.exec(ctx, r.engine.follow(primary)...); err != nil {
			return fmt.Errorf("make %s follow %s: %w", r.Name, primary.Name, err)
		}
	}
	if err := following(ctx, primary, replicas); err != nil {
		return err
	}
	// Last, so that setting up cannot hang for want of a replica.
	if primary.SemiSync {
		return primary.exec(ctx, primary.engine.open(true)...)
	}
	return nil
}

// following waits until the replicas replicate from primary and caught up.
func following(ctx context.Context, primary *Server, replicas []*Server) error {
	p, err := primary.standing(ctx)
	if err != nil {
		return fmt.Errorf("%s %w", primary.Name, err)
	}
	return wait(ctx, "replicas of "+primary.Name, func() error {
		for _, r := range replicas {
			st, err := r.standing(ctx)
			if err != nil {
				return fmt.Errorf("%s %w", r.Name, err)
			}
			if !st.running || st.source != primary.Address || st.executed != p.executed {
				return fmt.Errorf("%s follows %q, running %t, has %q, want %q: %s",
					r.Name, st.source, st.running, st.executed, p.executed, st.problem)
			}
		}
		return nil
	})
}

// names returns the names of servers, sorted.
func names(servers []*Server) []string {
	var out []string
	for _, s := range servers {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}
