package lab

// The files with the accounts' passwords.
const (
	adminSecret = "admin"
	appSecret   = "app"
	replSecret  = "repl"
)

// makeSecrets makes the accounts' passwords; each is in a file that only the
// caller reads.
func (l *databases) makeSecrets() error {
	a := NewAccounts()
	for name, value := range map[string]string{adminSecret: a.Admin, appSecret: a.App, replSecret: a.Repl} {
		if err := l.writeSecret(name, value); err != nil {
			return err
		}
	}
	l.setAccounts(a)
	return nil
}

// readSecrets reads what makeSecrets made.
func (l *databases) readSecrets() (err error) {
	var a Accounts
	for name, into := range map[string]*string{adminSecret: &a.Admin, appSecret: &a.App, replSecret: &a.Repl} {
		if *into, err = l.secret(name).Resolve(); err != nil {
			return err
		}
	}
	l.setAccounts(a)
	return nil
}

func (l *databases) setAccounts(a Accounts) {
	l.accounts = a
	for _, s := range l.servers {
		s.Accounts = a
	}
}
