// Package probes holds the kinds of probes: each looks at a service the way one
// of its clients does.
package probes

import (
	"fmt"
	"slices"
	"time"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/spec"
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
		kind.New("mysql-read", "Reads from MySQL or MariaDB; with a ledger, measures for how long acknowledged writes are not visible.",
			MySQLReadSpec{Table: defaultTable}, newMySQLRead),
		kind.New("mysql-write", "Inserts rows into MySQL or MariaDB and accounts for every one of them in a ledger.",
			MySQLWriteSpec{Table: defaultTable}, newMySQLWrite),
		kind.New("mysql-replication", "Asks the members of a MySQL or MariaDB component whether they replicate and how far they are behind.",
			MySQLReplicationSpec{MaxLag: spec.Duration(5 * time.Second)}, newMySQLReplication),
		kind.New("kubernetes", "Asks the API server whether enough pods of a component are ready, and whether its endpoints and disruption budgets are as they should be.",
			KubernetesSpec{}, newKubernetes),
		kind.New("llm-chat", "Asks a model for an answer, streamed or not: when it begins and stalls, whether it is whole and right, who gave it.", defaultLLMChat(), newLLMChat),
		kind.New("llm-embedding", "Asks a model for an embedding, and whether it has the dimension and lies where it lay before.", defaultLLMEmbedding(), newLLMEmbedding),
		kind.New("llm-rerank", "Asks a model which of several documents fits a query best.", defaultLLMRerank(), newLLMRerank),
	)
}

// defaultTable begins the name of a ledger's table.
const defaultTable = "ledger"

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
