package probes

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	driverpkg "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

func TestOutcomesAndClassesOfErrors(t *testing.T) {
	packet := func(n uint16) error { return fmt.Errorf("x: %w", &driverpkg.MySQLError{Number: n, Message: "m"}) }
	for _, c := range []struct {
		err     error
		outcome ledger.Outcome
		class   timeline.Class
	}{
		{packet(1290), ledger.Rejected, timeline.ReadOnly},
		{packet(1836), ledger.Rejected, timeline.ReadOnly},
		{packet(3100), ledger.Rejected, timeline.ReadOnly},
		{packet(1045), ledger.Rejected, timeline.Auth},
		{packet(1142), ledger.Rejected, timeline.Auth},
		{packet(1047), ledger.Rejected, timeline.Error},
		{packet(1040), ledger.Rejected, timeline.Error},
		{packet(1053), ledger.Indeterminate, timeline.Error},
		{packet(1180), ledger.Indeterminate, timeline.Error},
		{packet(1317), ledger.Indeterminate, timeline.Error},
		{packet(1927), ledger.Indeterminate, timeline.Error},
		{packet(4031), ledger.Indeterminate, timeline.Error},
		{driverpkg.ErrInvalidConn, ledger.Indeterminate, timeline.Reset},
		{fmt.Errorf("%w: %w", errNotSent, driver.ErrBadConn), ledger.Rejected, timeline.Reset},
		{driverpkg.ErrPktSync, ledger.Indeterminate, timeline.WrongAnswer},
		{driverpkg.ErrNoTLS, ledger.Indeterminate, timeline.TLS},
		{context.DeadlineExceeded, ledger.Indeterminate, timeline.Timeout},
		{errors.New("?"), ledger.Indeterminate, timeline.WrongAnswer},
	} {
		assert.Equal(t, c.outcome, outcomeOf(c.err), "%v", c.err)
		assert.Equal(t, c.class, mysqlFailed(t.Context(), c.err).Class, "%v", c.err)
	}
	assert.Equal(t, ledger.Acknowledged, outcomeOf(nil))
}
