package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/verdict"
	"firedrill/reports"
)

// runDir makes the directory of one run.
func (f *runFlags) runDir(d *drills.Drill, many bool, n int) (dir, id string, err error) {
	id = fmt.Sprintf("%08x", rand.Uint32())
	name := fmt.Sprintf("%s-%s-%s", time.Now().UTC().Format("20060102T150405"), d.Plan.Scenario, id)
	switch {
	case f.out == "":
		dir = filepath.Join(home(), "runs", name)
	case many || f.repeat > 1:
		dir = filepath.Join(f.out, fmt.Sprintf("%s-%03d", d.Plan.Scenario, n+1))
	default:
		dir = f.out
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("make run directory: %w: give another --out", err)
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		return "", "", fmt.Errorf("look into run directory: %w: give another --out", err)
	}
	if len(old) > 0 {
		return "", "", fmt.Errorf("run directory %s is not empty: a record is never overwritten; give another --out", dir)
	}
	// Fail before anything is touched if nothing can be recorded there.
	probe := filepath.Join(dir, ".writable")
	if err := renameio.WriteFile(probe, []byte("firedrill\n"), 0o600); err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return "", "", fmt.Errorf("write to run directory %s: %w: give another --out", dir, err)
	}
	return dir, id, os.Remove(probe)
}

// distribution shows what repeated drills came to, and writes it beside them.
func (f *runFlags) distribution(cmd *cobra.Command, d verdict.Distribution) error {
	if err := reports.Distribution(cmd.ErrOrStderr(), d); err != nil || f.out == "" {
		return err
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(f.out, d.Scenario+"-distribution.json")
	if err := renameio.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write distribution: %w", err)
	}
	return nil
}
