package lab

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"firedrill/drills/topology"
)

// Server is one database server as a local process, with everything that it
// writes in one directory. It starts read-only and does not replicate until told
// to, so that a server that comes back after a failover is harmless.
type Server struct {
	// Name is the member's name.
	Name string
	// Dir is the server's directory, owned by its user.
	Dir string
	// Sockets is the directory of the Unix socket; empty means Dir. It must be
	// short: a socket's path has at most 107 bytes (unix(7)).
	Sockets string
	// Address is host:port to listen on.
	Address string
	// ID is the replication server id, unique among servers that replicate.
	ID int
	// UID is the user the process runs as; 0 is the caller's own, which must then
	// not be root.
	UID int
	// Namespace is the path of the network namespace to stand in; empty is the
	// caller's own.
	Namespace string
	// SemiSync makes commits wait for a replica.
	SemiSync bool
	// Accounts are made when the directory is first used.
	Accounts Accounts
	// Cache keeps ready data directories.
	Cache string

	engine engine
}

// Accounts are the passwords of the accounts that every server of a lab has.
// Their privileges are in the engine's accounts method.
type Accounts struct {
	// Admin is for account firedrill_admin: discovery, promotion, re-pointing.
	Admin string
	// App is for account firedrill_app: it writes to schema firedrill only, and
	// read_only binds it.
	App string
	// Repl is for account firedrill_repl, which replicas log in with.
	Repl string
}

// The names of the accounts.
const (
	AdminUser = "firedrill_admin"
	AppUser   = "firedrill_app"
	ReplUser  = "firedrill_repl"
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

// Start makes the directory ready if it is new, starts the server and waits
// until it answers. A server that runs already is left alone.
func (s *Server) Start(ctx context.Context) error {
	fresh, err := s.prepare(ctx)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", s.Name, err)
	}
	p, err := s.process()
	if err != nil {
		return err
	}
	db, err := s.Root()
	if err != nil {
		return err
	}
	defer db.Close()
	if err := p.start(ctx, func() error { return db.PingContext(ctx) }); err != nil {
		return err
	}
	if fresh {
		return s.exec(ctx, s.engine.accounts(s.Accounts)...)
	}
	return nil
}

// process says how the server is run.
func (s *Server) process() (process, error) {
	argv, err := s.engine.program(s.Cache)
	if err != nil {
		return process{}, err
	}
	return process{
		name: s.Name, address: s.Address, dir: s.Dir, uid: s.UID, namespace: s.Namespace,
		argv: append(argv, "--defaults-file="+s.file("my.cnf")),
	}, nil
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill(ctx context.Context) error { return s.signal(ctx, syscall.SIGKILL) }

// Stop shuts the server down gracefully.
func (s *Server) Stop(ctx context.Context) error { return s.signal(ctx, syscall.SIGTERM) }

func (s *Server) signal(ctx context.Context, sig syscall.Signal) error {
	p, err := s.process()
	if err != nil {
		return err
	}
	return p.kill(ctx, sig)
}

// PID is the server's process, or 0 if it does not run.
func (s *Server) PID(ctx context.Context) int {
	p, err := s.process()
	if err != nil {
		return 0
	}
	return p.pid(ctx)
}

// Spec describes the server as a member of a topology, with the control that
// started it.
func (s *Server) Spec() (topology.MemberSpec, error) {
	p, err := s.process()
	if err != nil {
		return topology.MemberSpec{}, err
	}
	return p.spec(), nil
}

func (s *Server) file(name string) string { return filepath.Join(s.Dir, name) }

func (s *Server) socket() string {
	if s.Sockets != "" {
		return filepath.Join(s.Sockets, s.Name+".sock")
	}
	return s.file("s.sock")
}

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
		return dialInside(ctx, namespace, network, addr)
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
