package probes

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"net"
	"sync"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// greeting asks a server who it is. The columns are those of identityOf.
const greeting = "SELECT @@autocommit, @@server_id, @@hostname, @@port, @@report_host, @@report_port"

// identity is what a server says about itself. A connection through a TCP proxy
// stays with one server, so it is asked once per connection.
type identity struct{ serverID, hostname, port, reportHost, reportPort string }

func identityOf(row []string) (id identity, autocommit bool) {
	if len(row) != 6 {
		return identity{}, true
	}
	return identity{row[1], row[2], row[3], row[4], row[5]}, row[0] != "0"
}

// addresses are where the server believes it can be reached, best first.
func (id identity) addresses() []string {
	return []string{
		net.JoinHostPort(id.reportHost, id.reportPort),
		net.JoinHostPort(id.reportHost, id.port),
		net.JoinHostPort(id.hostname, id.port),
	}
}

// directory knows which member a server is. Two members that say the same about
// themselves cannot be told apart and are nobody.
type directory struct {
	known     map[identity]string
	byAddress map[string]string
	// always is the answer where the connection can lead to one member only.
	always string
}

// askWithin bounds the question to each member.
const askWithin = 2 * time.Second

// newDirectory asks every member who it is. A member that does not answer is
// found by the address that it reports, once it is back.
func newDirectory(ctx context.Context, cfg mysql.Config, c *topology.Component) *directory {
	d := &directory{known: map[identity]string{}, byAddress: map[string]string{}}
	for _, m := range c.Members {
		d.byAddress[m.Address()] = m.Name()
		if a := cfg.Replication.Addresses[m.Name()]; a != "" {
			d.byAddress[a] = m.Name()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range c.Members {
		wg.Go(func() {
			id, err := ask(ctx, cfg, m.Address())
			mu.Lock()
			defer mu.Unlock()
			if _, twice := d.known[id]; err == nil && twice {
				d.known[id] = ""
			} else if err == nil {
				d.known[id] = m.Name()
			}
		})
	}
	wg.Wait()
	return d
}

func ask(ctx context.Context, cfg mysql.Config, address string) (identity, error) {
	dial, err := newDialer(cfg, address, nil)
	if err != nil {
		return identity{}, err
	}
	s, err := dial.dial(ctx)
	if err != nil {
		return identity{}, err
	}
	defer s.Close()
	row, err := s.row(ctx, greeting)
	if err != nil {
		return identity{}, err
	}
	id, _ := identityOf(row)
	return id, nil
}

// name returns the member that a server is, "" if that cannot be told.
func (d *directory) name(id identity) string {
	switch {
	case d == nil:
		return ""
	case d.always != "":
		return d.always
	}
	if name, ok := d.known[id]; ok {
		return name
	}
	for _, a := range id.addresses() {
		if name := d.byAddress[a]; name != "" {
			return name
		}
	}
	return ""
}

// only is the directory of a probe that looks at one member directly.
func only(member string) *directory { return &directory{always: member} }

// texts yields the columns of a row as text; NULL is "".
func texts(row []driver.Value) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, v := range row {
			var s string
			switch v := v.(type) {
			case nil:
			case []byte:
				s = string(v)
			default:
				s = fmt.Sprint(v)
			}
			if !yield(s) {
				return
			}
		}
	}
}
