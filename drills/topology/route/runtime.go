package route

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// server is one server of a backend, as HAProxy's statistics have it.
type server struct {
	name, status string
	// sessions is how many sessions it has now.
	sessions int
	// why is what the last health check came to.
	why string
}

// takesClients tells whether HAProxy sends clients to the server: "UP", "UP 1/3"
// while it begins to fail, or "no check".
func (s server) takesClients() bool {
	return s.status == "UP" || strings.HasPrefix(s.status, "UP ") || s.status == "no check"
}

func (s server) inMaintenance() bool { return strings.HasPrefix(s.status, "MAINT") }

type servers []server

// find returns the server with a name, or one that is "gone".
func (ss servers) find(name string) server {
	for _, s := range ss {
		if s.name == name {
			return s
		}
	}
	return server{name: name, status: "gone"}
}

// stat asks for the servers of the backend, in the order of the configuration.
func (h *haproxy) stat(ctx context.Context) (servers, error) {
	text, err := h.ask(ctx, "show stat")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("HAProxy at %s: show stat: no table: %.80q", h.spec.Socket, text)
	}
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	for _, need := range []string{"pxname", "svname", "status", "scur", "check_status", "last_chk"} {
		if _, ok := col[need]; !ok {
			return nil, fmt.Errorf("HAProxy at %s: show stat has no column %s", h.spec.Socket, need)
		}
	}
	var ss servers
	for _, r := range rows[1:] {
		name := r[col["svname"]]
		if r[col["pxname"]] != h.spec.Backend || name == "BACKEND" || name == "FRONTEND" {
			continue
		}
		n, _ := strconv.Atoi(r[col["scur"]])
		ss = append(ss, server{
			name: name, status: r[col["status"]], sessions: n,
			why: strings.TrimSpace(r[col["check_status"]] + " " + r[col["last_chk"]]),
		})
	}
	if len(ss) == 0 {
		return nil, fmt.Errorf("HAProxy at %s has no backend %s with servers", h.spec.Socket, h.spec.Backend)
	}
	return ss, nil
}

// command gives a command, which HAProxy answers with an empty line if it obeys.
func (h *haproxy) command(ctx context.Context, text string) error {
	reply, err := h.ask(ctx, text)
	if err != nil {
		return err
	}
	if reply = strings.TrimSpace(reply); reply != "" {
		first, _, _ := strings.Cut(reply, "\n")
		return fmt.Errorf("HAProxy at %s: %s: %s", h.spec.Socket, text, first)
	}
	return nil
}

// ask gives one command on a connection of its own and returns the reply.
func (h *haproxy) ask(ctx context.Context, text string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", h.spec.Socket)
	if err != nil {
		return "", fmt.Errorf("connect to HAProxy (does it run, with \"stats socket %s level admin\"?): %w", h.spec.Socket, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, err = io.WriteString(conn, text+"\n")
	var reply []byte
	if err == nil {
		reply, err = io.ReadAll(conn)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && len(reply) == 0 {
		err = errors.New("closed the connection without a reply")
	}
	if err != nil {
		return "", fmt.Errorf("HAProxy at %s: %s: %w", h.spec.Socket, text, err)
	}
	return string(reply), nil
}
