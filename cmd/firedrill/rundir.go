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

// runDirs makes the run directories of all drills, where they are asked for, so that
// one that cannot be used is found before the first drill.
func (f *runFlags) runDirs(ds []*drills.Drill) error {
	if f.out == "" {
		return nil
	}
	out, err := filepath.Abs(f.out)
	if err != nil {
		return err
	}
	if len(ds) == 1 && f.repeat == 1 {
		f.dirs = []string{out}
	} else {
		runs := map[string]int{}
		for _, d := range ds {
			for range f.repeat {
				runs[d.Plan.Scenario]++
				f.dirs = append(f.dirs, filepath.Join(out, fmt.Sprintf("%s-%03d", d.Plan.Scenario, runs[d.Plan.Scenario])))
			}
		}
	}
	for _, dir := range f.dirs {
		if err := makeRunDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// nextDir is the directory of the next run.
func (f *runFlags) nextDir(d *drills.Drill) (dir, id string, err error) {
	id = fmt.Sprintf("%08x", rand.Uint32())
	if len(f.dirs) > 0 {
		dir, f.dirs = f.dirs[0], f.dirs[1:]
		return dir, id, nil
	}
	dir = filepath.Join(home(), "runs", fmt.Sprintf("%s-%s-%s", time.Now().UTC().Format("20060102T150405"), d.Plan.Scenario, id))
	return dir, id, makeRunDir(dir)
}

// makeRunDir makes a directory for a record, which must be empty and take files.
func makeRunDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make run directory: %w: give another --out", err)
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into run directory: %w: give another --out", err)
	}
	if len(old) > 0 {
		return fmt.Errorf("run directory %s is not empty: a record is never overwritten; give another --out", dir)
	}
	probe := filepath.Join(dir, ".writable")
	if err := renameio.WriteFile(probe, []byte("firedrill\n"), 0o600); err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("write to run directory %s: %w: give another --out", dir, err)
	}
	return os.Remove(probe)
}

// distribution shows what repeated drills came to, and writes it beside them.
func (f *runFlags) distribution(cmd *cobra.Command, d verdict.Distribution) error {
	_ = reports.Distribution(cmd.ErrOrStderr(), d)
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if f.output == "json" {
		_, _ = cmd.OutOrStdout().Write(b)
	}
	path := filepath.Join(f.out, d.Scenario+"-distribution.json")
	if f.out == "" {
		path = filepath.Join(home(), "runs", fmt.Sprintf("%s-%s-distribution.json", time.Now().UTC().Format("20060102T150405"), d.Scenario))
	}
	if err := renameio.WriteFile(path, b, 0o644); err != nil {
		return exitOr(fmt.Errorf("write distribution: %w", err), verdict.ExitInconclusive)
	}
	return nil
}
