package probes

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	driverpkg "github.com/go-sql-driver/mysql"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// meaning is what an error packet tells a client.
type meaning int

const (
	// refused: the statement was not carried out.
	refused meaning = iota
	// denied: nor will it be for this account.
	denied
	// readOnly: nor will it be on this server, as it is.
	readOnly
	// absent: what the statement names is not there.
	absent
	// unclear: the statement or the session was ended, and it does not say whether
	// the statement was carried out before.
	unclear
)

// meaningOf knows the numbers of MySQL's Server Error Message Reference and of
// MariaDB's Error Codes page.
func meaningOf(number uint16) meaning {
	switch number {
	case 1044, 1045, 1142, 1143, 1227, 1370, 1698, // access denied
		1130,       // host not allowed
		1820, 1862, // password expired
		3118, 4151: // account locked: MySQL, MariaDB
		return denied
	case 1290, 1792, 1836, // --read-only, read-only transaction, read-only mode
		3100: // refused by a hook of the replication before the commit
		return readOnly
	case 1049, 1146: // unknown database, no such table
		return absent
	case 1053, // shutdown in progress
		1158, 1159, 1160, 1161, // the server's own network errors
		1180,             // error during COMMIT
		1317,             // interrupted
		1927, 3169, 4031: // session killed: MariaDB, MySQL; closed for being idle
		return unclear
	}
	return refused
}

// serverError returns the error packet that err is; false if there was none.
func serverError(err error) (number uint16, ok bool) {
	var e *driverpkg.MySQLError
	if errors.As(err, &e) {
		return e.Number, true
	}
	return 0, false
}

// isAbsent tells whether the server says that the table, or its database, is not
// there.
func isAbsent(err error) bool {
	n, ok := serverError(err)
	return ok && meaningOf(n) == absent
}

// mysqlFailed is the observation of an exchange with a server that ended in err.
func mysqlFailed(ctx context.Context, err error) drills.Observation {
	o := drills.Observation{Class: timeline.Error, Detail: firstLine(err.Error())}
	o.Detail = strings.ReplaceAll(o.Detail, driverpkg.ErrInvalidConn.Error(), "connection cut")
	n, ok := serverError(err)
	switch {
	case !ok:
		o.Class = brokenClass(ctx, err)
	case meaningOf(n) == denied:
		o.Class = timeline.Auth
	case meaningOf(n) == readOnly:
		o.Class = timeline.ReadOnly
	}
	return o
}

// brokenClass names an exchange that ended without an error packet. The driver
// says ErrInvalidConn for whatever the network did; deadlines are ruled out by
// the context, so that it is a cut connection. Any other error of its own is
// about packets that make no sense.
func brokenClass(ctx context.Context, err error) timeline.Class {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, driverpkg.ErrInvalidConn), errors.Is(err, driver.ErrBadConn):
		return timeline.Reset
	case errors.Is(err, driverpkg.ErrNoTLS):
		return timeline.TLS
	}
	return classOf(ctx, err, timeline.WrongAnswer)
}

// outcomeOf says what is known of a statement that was tried and ended in err. No
// error is an OK packet, with warnings or without: a commit that no replica has
// although it should (measured: MariaDB 10.11 answers OK when KILL QUERY ends the
// wait for semi-synchronous replication) is acknowledged all the same.
func outcomeOf(err error) ledger.Outcome {
	n, answered := serverError(err)
	switch {
	case err == nil:
		return ledger.Acknowledged
	case errors.Is(err, errNotSent), answered && meaningOf(n) != unclear:
		return ledger.Rejected
	}
	return ledger.Indeterminate
}
