package lab

import (
	"context"
	"fmt"
)

// NewMariaDB describes a MariaDB server named db-<id>; Start starts it. dir must
// be reachable for the server's user, which is UserOf(id).
func NewMariaDB(dir, address string, id int) (*Server, error) {
	return newServer(mariadb{}, dir, address, id)
}

// StartMariaDB starts a MariaDB server in dir and waits until it answers.
func StartMariaDB(ctx context.Context, dir, address string, id int) (*Server, error) {
	s, err := NewMariaDB(dir, address, id)
	if err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

func newServer(e engine, dir, address string, id int) (*Server, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	return &Server{
		Name: fmt.Sprintf("db-%d", id), Dir: dir, Address: address, ID: id, UID: UserOf(id),
		Accounts: NewAccounts(), Cache: cache, engine: e,
	}, nil
}

// NewMySQL describes a MySQL server the way NewMariaDB does. FetchMySQL comes
// first, where the system has no MySQL server.
func NewMySQL(dir, address string, id int) (*Server, error) {
	return newServer(mysqld{}, dir, address, id)
}

// StartMySQL starts a MySQL server in dir and waits until it answers. It fetches
// the programs if there are none.
func StartMySQL(ctx context.Context, dir, address string, id int) (*Server, error) {
	s, err := NewMySQL(dir, address, id)
	if err != nil {
		return nil, err
	}
	if err := FetchMySQL(ctx, s.Cache); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}
