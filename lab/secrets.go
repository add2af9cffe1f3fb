package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"firedrill/drills/spec"
)

func (l *lab) secretFile(name string) string { return filepath.Join(l.state, "secrets", name) }

// writeSecret writes a secret to a file that only the caller reads.
func (l *lab) writeSecret(name, value string) error {
	if err := os.MkdirAll(filepath.Dir(l.secretFile(name)), 0o700); err != nil {
		return fmt.Errorf("make directory for secrets: %w", err)
	}
	if err := os.WriteFile(l.secretFile(name), []byte(value+"\n"), 0o600); err != nil {
		return fmt.Errorf("write secret: %w", err)
	}
	return nil
}

// secret is the reference that the topology file has.
func (l *lab) secret(name string) spec.Secret { return spec.Secret("file:" + l.secretFile(name)) }
