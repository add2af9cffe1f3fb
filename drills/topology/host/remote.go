package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// remote is another host. Each Run makes a connection of its own: nothing is left
// open between faults, and none is needed once more after a network fault.
type remote struct {
	name, address, user string
	spec                Spec
}

// connectLimit bounds connecting and logging in.
const connectLimit = 15 * time.Second

func newRemote(s Spec) (*remote, error) {
	r := &remote{name: s.SSH, spec: s, address: s.SSH}
	if u, rest, ok := strings.Cut(s.SSH, "@"); ok {
		r.user, r.address = u, rest
	}
	if r.user == "" {
		me, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("host %s: name of the own user: %w", s.SSH, err)
		}
		r.user = me.Username
	}
	if _, _, err := net.SplitHostPort(r.address); err != nil {
		r.address = net.JoinHostPort(strings.Trim(r.address, "[]"), "22")
	}
	if h, _, err := net.SplitHostPort(r.address); err != nil || h == "" {
		return nil, fmt.Errorf("host %q: want [user@]host[:port]", s.SSH)
	}
	return r, nil
}

// Name implements Host.
func (r *remote) Name() string { return r.name }

// Run runs the program through the login shell of the remote user, every argument
// quoted. What a program leaves in the background must let go of its output, or
// Run waits for it. When ctx ends the program is sent SIGKILL, as far as the
// remote side obeys, and the connection is closed.
func (r *remote) Run(ctx context.Context, argv []string, stdin string) (Output, error) {
	if len(argv) == 0 {
		return Output{}, fmt.Errorf("run on %s: no program named", r.name)
	}
	client, err := r.dial(ctx)
	if err != nil {
		return Output{}, fmt.Errorf("run %s on %s: %w", argv[0], r.name, err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return Output{}, fmt.Errorf("run %s on %s: open session: %w", argv[0], r.name, err)
	}
	var stdout, stderr capped
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(stdin), &stdout, &stderr
	stop := context.AfterFunc(ctx, func() {
		// Best effort: the connection is closed in any case.
		_ = session.Signal(ssh.SIGKILL)
		client.Close()
	})
	defer stop()
	err = session.Run(quote(argv))
	out := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	return out, r.failed(ctx, argv[0], out, err)
}

func (r *remote) failed(ctx context.Context, program string, out Output, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s on %s: %w", program, r.name, context.Cause(ctx))
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		code := exit.ExitStatus()
		if exit.Signal() != "" {
			code = -1
		}
		return &ExitError{Host: r.name, Program: program, Code: code, Line: firstLine(out.Stderr)}
	}
	return fmt.Errorf("run %s on %s: %w", program, r.name, err)
}

// dial connects and logs in; both end with ctx.
func (r *remote) dial(ctx context.Context) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	config, closeAgent, err := r.config(ctx)
	if err != nil {
		return nil, err
	}
	defer closeAgent()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, r.address, config)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return nil, fmt.Errorf("log in as %s: %w", r.user, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// quote writes arguments so that a POSIX shell reads them back unchanged.
func quote(argv []string) string {
	q := make([]string, len(argv))
	for i, a := range argv {
		q[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(q, " ")
}
