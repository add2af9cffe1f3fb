package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
)

// Server is one server, spoken to as cfg.User. It is safe for concurrent use.
// Its errors name the address and the statement, never an argument.
type Server struct {
	cfg     Config
	address string
	db      *sql.DB
	claim   string // see Claiming

	mu sync.Mutex
	d  *dialect
}

// Address returns host:port.
func (s *Server) Address() string { return s.address }

// Close closes the connections.
func (s *Server) Close() error { return s.db.Close() }

// Ping logs in.
func (s *Server) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return s.wrap("log in", err)
	}
	return nil
}

// dialect asks the server once which product it is.
func (s *Server) dialect(ctx context.Context) (dialect, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.d != nil {
		return *s.d, nil
	}
	var version string
	if err := s.db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return dialect{}, s.wrap("log in", err)
	}
	d, err := dialectOf(version)
	if err != nil {
		return d, s.wrap("ask for the version", err)
	}
	s.d = &d
	return d, nil
}

// Flavour is MariaDB or MySQL.
func (s *Server) Flavour(ctx context.Context) (string, error) {
	d, err := s.dialect(ctx)
	return d.flavour, err
}

// run executes a statement. label says what it does where the text has secrets
// or is long; else the text is used.
func (s *Server) run(ctx context.Context, label, query string, args ...any) error {
	if label == "" {
		label = query
	}
	if s.claim != "" {
		return s.runClaimed(ctx, label, query, args...)
	}
	if _, err := s.db.ExecContext(ctx, query, args...); err != nil {
		return s.wrap(label, err)
	}
	return nil
}

// wrap names the server. Servers quote the text near a syntax error, which could
// be a password: it is taken out.
func (s *Server) wrap(doing string, err error) error {
	err = fmt.Errorf("%s: %s: %w", s.address, doing, err)
	for _, ref := range []string{string(s.cfg.Replication.Password), string(s.cfg.Password)} {
		if v := resolved(ref); v != "" && strings.Contains(err.Error(), v) {
			return fmt.Errorf("%s: %s: the server refused it, quoting a password", s.address, doing)
		}
	}
	return err
}

// rows returns a result as maps from column name to text; a NULL has no entry.
func (s *Server) rows(ctx context.Context, query string, args ...any) ([]map[string]string, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap(query, err)
	}
	out, err := named(rows)
	if err != nil {
		return nil, s.wrap(query, err)
	}
	return out, nil
}

// named reads a result to its end and closes it.
func named(rows *sql.Rows) ([]map[string]string, error) {
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []map[string]string
	cells, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, n := range names {
			if cells[i].Valid {
				row[n] = cells[i].String
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// pairs returns a result of two columns as a map.
func (s *Server) pairs(ctx context.Context, query string) (map[string]string, error) {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, s.wrap(query, err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			return nil, s.wrap(query, err)
		}
		out[strings.ToLower(k)] = v
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap(query, err)
	}
	return out, nil
}
