// Package probes holds the kinds of probes: each looks at a service the way one
// of its clients does.
package probes

import (
	"fmt"
	"slices"

	"firedrill/drills"
	"firedrill/drills/kind"
)

// All is the catalogue of the kinds of probes.
func All() kind.Catalogue[drills.ProbeKind] {
	return kind.Of("probe",
		kind.New("tcp", "Connects to a TCP port; may send something and expect an answer.",
			TCPSpec{}, newTCP),
		kind.New("http", "Sends an HTTP request and checks the status and the body of the answer; follows no redirect.",
			HTTPSpec{Scheme: "http", Method: "GET", Path: "/", ExpectStatus: StatusSet{{200, 299}}}, newHTTP),
		kind.New("exec", "Runs a command on the runner and checks its exit code and what it prints.",
			ExecSpec{}, newExec),
	)
}

// Chooser is implemented by kinds of probes that say which classes of clients
// they have; a probe whose scenario names none runs with all of them. A kind
// that is no Chooser has both.
type Chooser interface{ Clients() []drills.Client }

// supports refuses a client class that is not among those that a kind has.
func supports(has []drills.Client, want drills.Client) error {
	if !slices.Contains(has, want) {
		return fmt.Errorf("clients: %q: this probe has %q", want, has)
	}
	return nil
}
