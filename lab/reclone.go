package lab

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Reclone makes a member's data anew, as it was when the lab began: empty, with
// the accounts. A lab's servers keep their whole history in their binary logs, so
// that a member that then follows the primary gets everything that it has. In
// production the same place takes a physical copy of the primary.
func Reclone(ctx context.Context, home, name, member string) error {
	l, err := open(home, name, nil)
	if err != nil {
		return err
	}
	if err := l.readSecrets(); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	for _, s := range l.servers {
		if s.Name != member {
			continue
		}
		if err := s.Kill(ctx); err != nil {
			return fmt.Errorf("lab %s: end %s: %w", name, member, err)
		}
		if err := os.RemoveAll(s.file("data")); err != nil {
			return fmt.Errorf("lab %s: remove the data of %s: %w", name, member, err)
		}
		// A server skips what carries its own id (--replicate-same-server-id), which
		// is all that it wrote as a primary: it needs a new one.
		s.ID = int(time.Now().Unix())
		return s.Start(ctx)
	}
	return fmt.Errorf("lab %s has no member %q: it has %v", name, member, names(l.servers))
}

// recloneCommand is how a drill calls Reclone: through this program, as it would
// call a script.
func (l *lab) recloneCommand() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	return []string{"env", "FIREDRILL_HOME=" + l.home, exe, "lab", "reclone", l.Name, "{member}"}, nil
}
