package mysql

import (
	"context"
	"regexp"
)

// firstGTID finds the sequence number in an event's description: "BEGIN GTID
// 0-1-1", "GTID 0-1-1".
var firstGTID = regexp.MustCompile(`GTID \d+-\d+-(\d+)`)

// knowsAll tells whether a MariaDB server's binary log is known to begin with the
// first transaction there ever was: then an origin that it has nothing of has
// written nothing that is common. False if that cannot be told, as after a clone
// or once old logs are purged (SHOW BINLOG EVENTS, event Gtid_list).
func (s *Server) knowsAll(ctx context.Context) bool {
	logs, err := s.rows(ctx, "SHOW BINARY LOGS")
	if err != nil || len(logs) == 0 {
		return false
	}
	events, err := s.rows(ctx, "SHOW BINLOG EVENTS IN ? LIMIT 10", logs[0]["Log_name"])
	if err != nil {
		return false
	}
	for _, e := range events {
		switch e["Event_type"] {
		case "Gtid_list":
			if e["Info"] != "[]" {
				return false
			}
		case "Gtid":
			m := firstGTID.FindStringSubmatch(e["Info"])
			return m != nil && m[1] == "1"
		}
	}
	return false
}
