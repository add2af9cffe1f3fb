package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"firedrill/scenarios"
)

func newInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write the scenarios of the library and a topology to start from",
		Long: `init writes the scenarios that come with firedrill, and a topology file with
comments, into a directory (default: drills). It overwrites nothing.`,
		Example: "  firedrill init\n  firedrill validate drills/mysql-primary-loss.yaml --topology drills/topology.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "drills"
			if len(args) == 1 {
				dir = args[0]
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("init: %w", err)
			}
			return fs.WalkDir(scenarios.Library(), ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" {
					return err
				}
				b, err := fs.ReadFile(scenarios.Library(), name)
				if err != nil {
					return err
				}
				path := filepath.Join(dir, filepath.Base(name))
				f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
				if errors.Is(err, fs.ErrExist) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s is there already: left alone\n", path)
					return nil
				}
				if err != nil {
					return err
				}
				_, err = f.Write(b)
				fmt.Fprintln(cmd.OutOrStdout(), path)
				return errors.Join(err, f.Close())
			})
		},
	}
}
