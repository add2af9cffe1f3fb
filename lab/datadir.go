package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// prepare makes the server's directory from the template unless it is there
// already, and says whether it was new.
func (s *Server) prepare(ctx context.Context) (fresh bool, err error) {
	if _, err := os.Stat(s.file("data")); err == nil {
		return false, nil
	}
	if s.UID == 0 && os.Geteuid() == 0 {
		return false, errors.New("a database server does not run as root: give it a user id")
	}
	if len(s.socket()) > 107 {
		return false, fmt.Errorf("socket path %s is longer than 107 bytes: choose a shorter directory", s.socket())
	}
	template, err := s.engine.template(ctx, s)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return false, err
	}
	// Copied under another name, so that half a copy is never taken for a whole.
	if err := run(ctx, "cp", "-a", "--reflink=auto", template, s.file("data.new")); err != nil {
		return false, err
	}
	if err := os.WriteFile(s.file("my.cnf"), []byte(s.engine.config(s)), 0o600); err != nil {
		return false, err
	}
	if err := own(s.Dir, s.UID); err != nil {
		return false, err
	}
	return true, os.Rename(s.file("data.new"), s.file("data"))
}

// own gives a tree to a user, unless that is the caller's own.
func own(dir string, uid int) error {
	if uid == 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
}

// cached makes dir once: build fills a new directory beside it, which then takes
// its place. Two that build at the same time do not disturb each other.
func cached(dir string, build func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, "made")
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := build(made); err != nil {
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil
		}
		return err
	}
	return nil
}
