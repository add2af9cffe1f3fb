package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"

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
