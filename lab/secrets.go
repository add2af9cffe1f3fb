package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"firedrill/drills/spec"
)

// The files with the accounts' passwords.
const (
	adminSecret = "admin"
	appSecret   = "app"
	replSecret  = "repl"
)

// makeSecrets makes the accounts' passwords; each is in a file that only the
// caller reads.
func (l *lab) makeSecrets() error {
	a := NewAccounts()
	if err := os.MkdirAll(filepath.Dir(l.secretFile(appSecret)), 0o700); err != nil {
		return fmt.Errorf("make directory for passwords: %w", err)
	}
	for name, value := range map[string]string{adminSecret: a.Admin, appSecret: a.App, replSecret: a.Repl} {
		if err := os.WriteFile(l.secretFile(name), []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("write password: %w", err)
		}
	}
	l.setAccounts(a)
	return nil
}

// readSecrets reads what makeSecrets made.
func (l *lab) readSecrets() (err error) {
	var a Accounts
	for name, into := range map[string]*string{adminSecret: &a.Admin, appSecret: &a.App, replSecret: &a.Repl} {
		if *into, err = l.secret(name).Resolve(); err != nil {
			return err
		}
	}
	l.setAccounts(a)
	return nil
}

// secret is the reference that the topology file has.
func (l *lab) secret(name string) spec.Secret { return spec.Secret("file:" + l.secretFile(name)) }

func (l *lab) setAccounts(a Accounts) {
	l.accounts = a
	for _, s := range l.servers {
		s.Accounts = a
	}
}
