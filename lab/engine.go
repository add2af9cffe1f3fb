package lab

import (
	"context"
	"database/sql"
)

// engine is what differs between the products.
type engine interface {
	// program returns the server's command without options, and installs nothing.
	program(cache string) ([]string, error)
	// template makes sure that a ready data directory is in the cache and returns
	// its path.
	template(ctx context.Context, s *Server) (string, error)
	// config returns the text of my.cnf.
	config(s *Server) string
	// accounts returns the statements that make the accounts, unlogged.
	accounts(a Accounts) []string
	// follow returns the statements that make a server replicate from primary.
	follow(primary *Server) []string
	// open returns the statements that make a server take writes.
	open(semiSync bool) []string
	// resume returns the statements that let a stopped replica go on.
	resume() []string
	// reached names the function that waits for a position, in the notation of
	// standing, for so many seconds: 0 once it is applied.
	reached() string
	// standing asks a server what it is.
	standing(ctx context.Context, db *sql.DB) (standing, error)
}

// standing is what a server says about itself.
type standing struct {
	readOnly bool
	// source is host:port of the server it is configured to follow, or "".
	source string
	// running tells whether it replicates; problem says why not.
	running bool
	problem string
	// executed is the set of transactions it has, in the engine's notation.
	executed string
}
