package remedies_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/lab"
)

// manual is what an operator types, on one product.
type manual struct {
	stopReceiver, status, executed, received, wait string
	open, repoint                                  []string
}

var manuals = map[string]manual{
	mysql.MariaDB: {
		stopReceiver: "STOP SLAVE IO_THREAD", status: "SHOW SLAVE STATUS", received: "Gtid_IO_Pos",
		wait: "SELECT MASTER_GTID_WAIT(?, 10)",
		open: []string{"STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only=0"},
		repoint: []string{
			"STOP SLAVE", "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USE_GTID=slave_pos", "START SLAVE",
		},
	},
	mysql.MySQL: {
		stopReceiver: "STOP REPLICA IO_THREAD", status: "SHOW REPLICA STATUS", received: "Retrieved_Gtid_Set", executed: "Executed_Gtid_Set",
		wait: "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 10)",
		open: []string{"STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL super_read_only=OFF", "SET GLOBAL read_only=OFF"},
		repoint: []string{
			"STOP REPLICA", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_AUTO_POSITION=1", "START REPLICA",
		},
	},
}

// byHand is the least that promotes without losing what a replica has received:
// an operator who knows that the primary is dead, knows all names, is logged in
// everywhere already, and believes that what a server accepted is done. Where two
// servers can be told at once they are, so that nobody waits needlessly: the
// product does the same.
func (w *benchWorld) byHand(st topology.State) {
	ctx, m := w.b.Context(), manuals[w.Flavour]
	replicas := st.With(topology.Replica)
	require.Len(w.b, replicas, 2)
	positions := make([]string, 2)
	var g errgroup.Group
	for i, name := range replicas {
		g.Go(func() (err error) {
			if _, err = w.conns[name].ExecContext(ctx, m.stopReceiver); err == nil {
				positions[i], err = w.position(ctx, name)
			}
			return err
		})
	}
	require.NoError(w.b, g.Wait())
	best, other := replicas[0], replicas[1]
	if w.further(ctx, best, positions[1], positions[0]) {
		best, other = other, best
		slices.Reverse(positions)
	}
	var timedOut int
	require.NoError(w.b, w.conns[best].QueryRowContext(ctx, m.wait, positions[0]).Scan(&timedOut))
	require.Zero(w.b, timedOut)

	g.Go(func() error { return w.tell(ctx, best, m.open, "") })
	g.Go(func() error { return w.tell(ctx, other, m.repoint, w.K.Node(best).Replication) })
	require.NoError(w.b, g.Wait())
	w.proxy(ctx, st.With(topology.Primary)[0], best)
}

func (w *benchWorld) tell(ctx context.Context, name string, statements []string, source string) error {
	host, port, _ := strings.Cut(source, ":")
	for _, q := range statements {
		q = strings.NewReplacer("{host}", host, "{port}", port).Replace(q)
		if _, err := w.conns[name].ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// position is what a replica has received, applied or not.
func (w *benchWorld) position(ctx context.Context, name string) (string, error) {
	m := manuals[w.Flavour]
	rows, err := w.conns[name].QueryContext(ctx, m.status)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		return "", err
	}
	cells, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range cells {
		into[i] = &cells[i]
	}
	if err := rows.Scan(into...); err != nil {
		return "", err
	}
	has := cells[slices.Index(names, m.received)].String
	if m.executed != "" {
		has = strings.Trim(has+","+cells[slices.Index(names, m.executed)].String, ",")
	}
	return has, rows.Err()
}

// further tells whether a replica at a has received more than one at b.
func (w *benchWorld) further(ctx context.Context, on, a, b string) bool {
	if w.Flavour == mysql.MySQL {
		var subset bool
		require.NoError(w.b, w.conns[on].QueryRowContext(ctx, "SELECT GTID_SUBSET(?, ?)", a, b).Scan(&subset))
		return !subset
	}
	seq := func(position string) int {
		n, err := strconv.Atoi(position[strings.LastIndexByte(position, '-')+1:])
		require.NoError(w.b, err)
		return n
	}
	return seq(a) > seq(b)
}

// proxy gives all commands in one line, as with socat.
func (w *benchWorld) proxy(ctx context.Context, from, to string) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", w.Proxy.Socket())
	require.NoError(w.b, err)
	defer c.Close()
	s := lab.Backend + "/"
	_, err = io.WriteString(c, "set server "+s+from+" state maint; shutdown sessions server "+s+from+"; set server "+s+to+" state ready\n")
	require.NoError(w.b, err)
	said, err := io.ReadAll(c)
	require.NoError(w.b, err)
	require.Empty(w.b, strings.TrimSpace(string(said)))
}
