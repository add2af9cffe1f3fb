package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill/scenarios"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema scenario|topology",
		Short: "Print the JSON Schema of scenario or topology files",
		Long: `schema prints the JSON Schema (draft 2020-12) of a kind of file, for editors that
complete and check while you type. validate checks more than a schema can say.`,
		Example: `  firedrill schema scenario > scenario.schema.json
  # then, as the first line of a scenario:
  # yaml-language-server: $schema=scenario.schema.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return fmt.Errorf("schema %s: say of which file: %s", strings.Join(args, " "), strings.Join(cmd.ValidArgs, " or "))
			}
			return nil
		},
		ValidArgs: []string{"scenario", "topology"},
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := fs.ReadFile(scenarios.Schemas(), args[0]+".json")
			if err != nil {
				return fmt.Errorf("read schema: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}
