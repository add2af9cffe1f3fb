package mysql

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// State asks the server. It needs the privileges in the grants list.
func (s *Server) State(ctx context.Context) (State, error) {
	d, err := s.dialect(ctx)
	if err != nil {
		return State{}, err
	}
	st := State{Flavour: d.flavour, Version: d.version}
	if d.maria() {
		err = s.mariaVariables(ctx, d, &st)
	} else {
		err = s.mysqlVariables(ctx, d, &st)
	}
	if err != nil {
		return st, err
	}
	if err := s.status(ctx, &st); err != nil {
		return st, err
	}
	st.Link, err = s.link(ctx, d)
	return st, err
}

func (s *Server) mariaVariables(ctx context.Context, d dialect, st *State) error {
	const query = "SELECT @@global.read_only, @@global.server_id, @@global.log_bin, @@global.gtid_binlog_state," +
		" @@global.gtid_slave_pos, @@global.rpl_semi_sync_master_enabled, @@global.rpl_semi_sync_slave_enabled"
	var readOnly, logBin, binlog, source, replica string
	err := s.db.QueryRowContext(ctx, query).Scan(&readOnly, &st.ServerID, &logBin, &binlog, &st.SlavePos, &source, &replica)
	if err != nil {
		return s.wrap("read global variables", err)
	}
	st.ReadOnly, st.GTID = !off(readOnly), !off(logBin)
	st.SemiSync.Source, st.SemiSync.Replica = !off(source), !off(replica)
	st.Executed, err = d.history(binlog + "," + st.SlavePos)
	return err
}

func (s *Server) mysqlVariables(ctx context.Context, d dialect, st *State) error {
	const query = "SELECT @@global.read_only, @@global.super_read_only, @@global.server_id, @@global.server_uuid," +
		" @@global.gtid_mode, @@global.gtid_executed, @@global.gtid_purged"
	var readOnly, super, mode, executed, purged string
	err := s.db.QueryRowContext(ctx, query).Scan(&readOnly, &super, &st.ServerID, &st.UUID, &mode, &executed, &purged)
	if err != nil {
		return s.wrap("read global variables", err)
	}
	st.ReadOnly, st.SuperReadOnly, st.GTID = !off(readOnly), !off(super), strings.EqualFold(mode, "ON")
	if st.Executed, err = d.history(executed); err != nil {
		return err
	}
	if st.Purged, err = d.history(purged); err != nil {
		return err
	}
	// The plugins may be missing, and have old or new names.
	vars, err := s.pairs(ctx, "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%\\_enabled'")
	if err != nil {
		return err
	}
	st.SemiSync.Source = !off(first(vars, "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"))
	st.SemiSync.Replica = !off(first(vars, "rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"))
	return nil
}

func (s *Server) status(ctx context.Context, st *State) error {
	vars, err := s.pairs(ctx, "SHOW GLOBAL STATUS WHERE Variable_name = 'Uptime' OR Variable_name LIKE 'Rpl\\_semi\\_sync\\_%'")
	if err != nil {
		return err
	}
	st.Uptime = seconds(vars["uptime"])
	st.SemiSync.Active = st.SemiSync.Source && !off(first(vars, "rpl_semi_sync_source_status", "rpl_semi_sync_master_status"))
	st.SemiSync.Clients, _ = strconv.Atoi(first(vars, "rpl_semi_sync_source_clients", "rpl_semi_sync_master_clients"))
	return nil
}

// link reads the replication status; the columns' names changed with the words.
func (s *Server) link(ctx context.Context, d dialect) (*Link, error) {
	rows, err := s.rows(ctx, "SHOW "+d.replica+" STATUS")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	get := func(name string) string {
		return first(r, strings.NewReplacer("%R", "Replica", "%S", "Source").Replace(name),
			strings.NewReplacer("%R", "Slave", "%S", "Master").Replace(name))
	}
	host := get("%S_Host")
	if host == "" {
		return nil, nil
	}
	io := get("%R_IO_Running")
	l := &Link{
		Source: net.JoinHostPort(host, get("%S_Port")), SourceUUID: get("%S_UUID"), User: get("%S_User"),
		Receiver: io != "" && io != "No", Connected: io == "Yes", Applier: get("%R_SQL_Running") == "Yes",
		ReceiverError: get("Last_IO_Error"), ApplierError: get("Last_SQL_Error"),
		AutoPosition: get("Auto_Position") == "1" || (r["Using_Gtid"] != "" && r["Using_Gtid"] != "No"),
		Delay:        seconds(get("SQL_Delay")), Channels: len(rows),
	}
	id, _ := strconv.ParseUint(get("%S_Server_Id"), 10, 32)
	l.SourceID = uint32(id)
	if lag := get("Seconds_Behind_%S"); lag != "" {
		v := seconds(lag)
		l.Lag = &v
	}
	received := r["Gtid_IO_Pos"]
	if !d.maria() {
		received = r["Retrieved_Gtid_Set"]
	}
	if l.Received, err = d.history(received); err != nil {
		return nil, fmt.Errorf("%s: %w", s.address, err)
	}
	return l, nil
}

func first(m map[string]string, keys ...string) string {
	for _, k := range keys {
		if v, ok := m[k]; ok {
			return v
		}
	}
	return ""
}

// off reads a boolean variable; MariaDB 12 gives read_only as a word.
func off(v string) bool { return v == "" || v == "0" || strings.EqualFold(v, "OFF") }

func seconds(v string) time.Duration {
	n, _ := strconv.ParseFloat(v, 64)
	return time.Duration(n * float64(time.Second))
}
