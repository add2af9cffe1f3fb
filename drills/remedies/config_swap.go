package remedies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology/control/poll"
)

// configSwap is one change of a file: all that undoing it needs. Contents are not
// in it, for they may hold secrets.
type configSwap struct {
	Path string `json:"path"`
	// Copy holds the old content. It is written before the file is touched and
	// removed last of all, so that where there is none, nothing is left to undo.
	Copy string `json:"copy"`
	// Candidate holds what is about to take the file's place.
	Candidate string `json:"candidate"`
	// Was and Now are the SHA-256 of the old and the new content.
	Was string `json:"was"`
	Now string `json:"now"`
	// Owner is the file's.
	Owner   fileOwner     `json:"owner"`
	Reload  []string      `json:"reload,omitempty"`
	Check   *ConfigCheck  `json:"check,omitempty"`
	Timeout spec.Duration `json:"timeout"`
}

type fileOwner struct {
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

func ownerOf(path string) (fileOwner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileOwner{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return fileOwner{}, errors.New("is no regular file")
	}
	return fileOwner{Mode: info.Mode().Perm(), UID: int(st.Uid), GID: int(st.Gid)}, nil
}

// keep writes the copy, for the runner's eyes only.
func (s configSwap) keep() error {
	old, err := os.ReadFile(s.Path)
	if err != nil {
		return err
	}
	if digest(old) != s.Was {
		return fmt.Errorf("%s was changed a moment ago by somebody else", s.Path)
	}
	return writeSynced(s.Copy, old, fileOwner{Mode: 0o600, UID: -1, GID: -1})
}

// write writes the candidate.
func (s configSwap) write(content []byte) error { return writeSynced(s.Candidate, content, s.Owner) }

// install puts the candidate in the file's place, if the file holds what it
// should until then.
func (s configSwap) install(over string) error {
	if is, err := s.holds(); err != nil {
		return err
	} else if is != over {
		return fmt.Errorf("%s was changed meanwhile by somebody else", s.Path)
	}
	if err := os.Rename(s.Candidate, s.Path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.Path))
}

// holds is the SHA-256 of what the file holds, "" if there is none.
func (s configSwap) holds() (string, error) {
	b, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return digest(b), err
}

// tidy removes the candidate and then the copy.
func (s configSwap) tidy() error {
	for _, path := range []string{s.Candidate, s.Copy} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(s.Path))
}

// check waits until the check, if there is one, holds.
func (s configSwap) check(ctx context.Context) error {
	if s.Check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout.Std(), fmt.Errorf("not so after %s", s.Timeout))
	defer cancel()
	return poll.Until(ctx, checkEvery, func(ctx context.Context) error { return s.Check.holds(ctx, s.Timeout) })
}

// Revert implements drills.Reverter. A copy that is still there says that the
// file, or what its reader made of it, may not be as it was.
func (configFile) Revert(ctx context.Context, u drills.Undo) error {
	var s configSwap
	if err := readUndo(u, &s); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(s.Path)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Dir(s.Path), drills.ErrGone)
	}
	is, err := s.holds()
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.Copy); errors.Is(err, fs.ErrNotExist) {
		if is == s.Now {
			return fmt.Errorf("%s holds the drill's content, and the copy %s is gone: put the old content back by hand", s.Path, s.Copy)
		}
		return s.tidy()
	}
	if is != s.Was {
		if err := s.putBack(is); err != nil {
			return fmt.Errorf("put the old %s back: %w", s.Path, err)
		}
	}
	if len(s.Reload) > 0 {
		if _, err := runCommand(ctx, s.Reload, s.Timeout.Std()); err != nil {
			return fmt.Errorf("the old %s is back, but: %w", s.Path, err)
		}
	}
	if err := s.check(ctx); err != nil {
		return fmt.Errorf("the old %s is back and reloaded, but: %w", s.Path, err)
	}
	return s.tidy()
}

// putBack makes the file hold what the copy does.
func (s configSwap) putBack(is string) error {
	if is != s.Now && is != "" {
		return fmt.Errorf("somebody else changed it since: see what of %s is still wanted, and remove that copy", s.Copy)
	}
	old, err := os.ReadFile(s.Copy)
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if digest(old) != s.Was {
		return fmt.Errorf("the copy %s is not what was there (SHA-256 %.12s…): put it back by hand", s.Copy, s.Was)
	}
	if err := s.write(old); err != nil {
		return err
	}
	return s.install(is)
}

// writeSynced writes a file anew and returns when it is on disk. An owner of -1 is
// the runner.
func writeSynced(path string, content []byte, o fileOwner) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chown(o.UID, o.GID)
	}
	if err == nil {
		err = f.Chmod(o.Mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
