package lab

import "crypto/rand"

// Accounts are the passwords of the accounts that every server of a lab has.
// Their privileges are in the engine's accounts method.
type Accounts struct {
	// Admin is for account firedrill_admin: discovery, promotion, re-pointing.
	Admin string
	// App is for account firedrill_app: it writes to schema firedrill only, and
	// read_only binds it.
	App string
	// Repl is for account firedrill_repl, which replicas log in with.
	Repl string
}

// The names of the accounts.
const (
	AdminUser = "firedrill_admin"
	AppUser   = "firedrill_app"
	ReplUser  = "firedrill_repl"
)

// NewAccounts makes random passwords.
func NewAccounts() Accounts {
	return Accounts{Admin: rand.Text(), App: rand.Text(), Repl: rand.Text()}
}
