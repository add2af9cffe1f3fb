package lab

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Root opens the server as its superuser, through the Unix socket, which works
// from every network namespace. Only the server's own user and root reach it.
func (s *Server) Root() (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User = "unix", s.socket(), "root"
	return openDB(c)
}

// Open opens the server over TCP as one of the accounts.
func (s *Server) Open(user, password string) (*sql.DB, error) {
	return OpenAddress(s.Namespace, s.Address, user, password)
}

// OpenAddress opens a server or a proxy over TCP from within a network namespace
// (empty: the caller's own).
func OpenAddress(namespace, address, user, password string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", address, user, password
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return DialInside(ctx, namespace, network, addr)
	}
	return openDB(c)
}

func openDB(c *mysql.Config) (*sql.DB, error) {
	c.Logger = &mysql.NopLogger{} // a server that is still starting is no news
	conn, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.Addr, err)
	}
	return sql.OpenDB(conn), nil
}

// exec runs statements as the superuser, one after another in one session. An
// error names the statement by its number: it may carry a password.
func (s *Server) exec(ctx context.Context, statements ...string) error {
	db, err := s.Root()
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.Name, err)
	}
	defer conn.Close()
	for _, q := range statements {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			verb, _, _ := strings.Cut(q, " '") // what follows may be a password
			return fmt.Errorf("%s: %s …: %w", s.Name, verb[:min(len(verb), 60)], err)
		}
	}
	return nil
}

// hostPort splits the address of a lab's own making.
func hostPort(address string) (host string, port int) {
	h, p, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	port, _ = strconv.Atoi(p)
	return h, port
}
