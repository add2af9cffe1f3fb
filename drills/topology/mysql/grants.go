package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// needed are the privileges, on *.*, that discovery, fencing and promotion use.
func (d dialect) needed(semiSync bool) []string {
	if d.maria() {
		p := []string{"PROCESS", "RELOAD", "SLAVE MONITOR", "REPLICATION SLAVE ADMIN", "READ_ONLY ADMIN", "CONNECTION ADMIN"}
		if semiSync {
			p = append(p, "REPLICATION MASTER ADMIN")
		}
		return p
	}
	return []string{"PROCESS", "RELOAD", "REPLICATION CLIENT", "REPLICATION_SLAVE_ADMIN", "SYSTEM_VARIABLES_ADMIN", "CONNECTION_ADMIN"}
}

// MissingGrants returns the privileges that firedrill needs on this server to
// promote and re-point members, and that its account does not have. Nothing can
// be told for an account with roles: then the answer is empty.
func (s *Server) MissingGrants(ctx context.Context, semiSync bool) ([]string, error) {
	d, err := s.dialect(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, s.wrap("SHOW GRANTS", err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, s.wrap("SHOW GRANTS", err)
		}
		lines = append(lines, line)
	}
	return lacking(d.needed(semiSync), lines), rows.Err()
}

// lacking compares what is needed with the lines of SHOW GRANTS.
func lacking(needed, lines []string) []string {
	var have []string
	for _, line := range lines {
		list, _, global := strings.Cut(line, " ON *.* TO ")
		if !global {
			if !strings.Contains(line, " ON ") {
				return nil // a role: GRANT `role` TO `user`
			}
			continue
		}
		for p := range strings.SplitSeq(strings.TrimPrefix(list, "GRANT "), ",") {
			have = append(have, strings.NewReplacer(
				"REPLICA MONITOR", "SLAVE MONITOR", "REPLICATION REPLICA ADMIN", "REPLICATION SLAVE ADMIN",
			).Replace(strings.TrimSpace(p)))
		}
	}
	if slices.Contains(have, "ALL PRIVILEGES") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(needed), func(p string) bool { return slices.Contains(have, p) })
}

// grantProblem says which statement gives what is missing; "" if nothing is.
func grantProblem(user string, missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("account %q cannot promote or re-point here: GRANT %s ON *.* TO '%s'@'…'", user, strings.Join(missing, ", "), user)
}
