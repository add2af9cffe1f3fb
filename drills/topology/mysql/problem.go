package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"

	driverpkg "github.com/go-sql-driver/mysql"
)

// needs finds the privileges in error 1227 of both products: "you need (at least
// one of) the SUPER, REPLICATION CLIENT privilege(s) for this operation".
var needs = regexp.MustCompile(`\(at least one of\) the (.*) privilege`)

// Problem says in one line why a server could not be asked, and what to do.
func Problem(cfg Config, address string, err error) string {
	var e *driverpkg.MySQLError
	var timeout net.Error
	switch {
	case errors.As(err, &e):
		return refusal(cfg, address, e, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return address + ": connection refused: nothing listens there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return address + ": no answer in time: it hangs, or packets to it are dropped"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return address + ": unreachable: no route to it"
	case errors.Is(err, driverpkg.ErrInvalidConn), errors.Is(err, syscall.ECONNRESET):
		return address + ": the connection was cut"
	}
	return oneLine(err.Error())
}

// Answered tells whether an error is the server's own answer, rather than the
// lack of one.
func Answered(err error) bool {
	var e *driverpkg.MySQLError
	return errors.As(err, &e)
}

func refusal(cfg Config, address string, e *driverpkg.MySQLError, err error) string {
	switch e.Number {
	case 1045, 1698:
		from := "no password is configured (with.password)"
		if cfg.Password != "" {
			from = "its password is taken from " + string(cfg.Password)
		}
		return fmt.Sprintf("%s: login of %q refused: check the account and its password; %s", address, cfg.User, from)
	case 1227, 1142, 1044, 1143:
		return fmt.Sprintf("%s: account %q lacks a privilege: %s; %s", address, cfg.User, grant(cfg, e.Message), oneLine(err.Error()))
	case 1040:
		return address + ": too many connections: none is left for firedrill"
	}
	return oneLine(err.Error())
}

// denies finds the privilege in error 1142: "CREATE command denied to user".
var denies = regexp.MustCompile(`(?:^|: )([A-Z][A-Z ]*) command denied to user`)

// grant says which statement gives the privilege that a message asks for.
func grant(cfg Config, message string) string {
	privilege, on := "SELECT", "*.*"
	if m := needs.FindStringSubmatch(message); m != nil {
		for _, p := range strings.Split(strings.NewReplacer(" or ", ",", " and ", ",").Replace(m[1]), ",") {
			if p = strings.TrimSpace(p); p != "" && p != "SUPER" {
				privilege = p
			}
		}
	} else if strings.Contains(message, "performance_schema") {
		on = "performance_schema.*"
	} else if m := denies.FindStringSubmatch(message); m != nil {
		privilege, on = m[1], "`"+cfg.Database+"`.*"
	}
	return fmt.Sprintf("GRANT %s ON %s TO '%s'@'…'", privilege, on, cfg.User)
}

func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
