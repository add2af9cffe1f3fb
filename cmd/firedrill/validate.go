package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"firedrill/drills/verdict"
	"firedrill/scenarios"
)

// validateFlags are those of validate.
type validateFlags struct {
	topology, output string
	vars             map[string]string
}

// checked is what came of one file.
type checked struct {
	File string `json:"file"`
	// Kind is "Scenario" or "Topology", empty if the file could not be told.
	Kind     string             `json:"kind,omitempty"`
	Name     string             `json:"name,omitempty"`
	Valid    bool               `json:"valid"`
	Problems scenarios.Problems `json:"problems"`
}

func newValidate() *cobra.Command {
	var f validateFlags
	c := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check scenario and topology files, and report everything that is wrong at once",
		Long: `validate reads scenario and topology files strictly and reports every problem as
file:line:col: path: what is wrong, and what would be right. With --topology it
also checks that the scenarios fit that topology. It contacts nothing.

It exits with 0 if all files are valid, else with 2.`,
		Example: `  firedrill validate scenarios/library/mysql-primary-loss.yaml
  firedrill validate drill.yaml --topology production.yaml --var lag=5s -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.output != "" && f.output != "json" {
				return fmt.Errorf("output format %q: want json", f.output)
			}
			return validate(cmd.OutOrStdout(), args, f)
		},
	}
	c.Flags().StringVar(&f.topology, "topology", "", "topology file that the scenarios must fit")
	c.Flags().StringToStringVar(&f.vars, "var", nil, "set a variable of the scenarios: name=value")
	c.Flags().StringVarP(&f.output, "output", "o", "", "output format: json")
	return c
}

// validate checks the files and writes the results; an invalid file ends in an
// exit code without a further message.
func validate(w io.Writer, paths []string, f validateFlags) error {
	var top *scenarios.TopologyFile
	var results []checked
	if f.topology != "" {
		t, err := scenarios.LoadTopology(f.topology, entries())
		if err != nil {
			results = append(results, result(f.topology, nil, nil, err))
		}
		top = t
	}
	for _, path := range paths {
		s, t, err := scenarios.LoadEither(path, f.vars, entries())
		if err == nil {
			err = fits(s, t, top)
		}
		results = append(results, result(path, s, t, err))
	}
	return show(w, results, f.output == "json")
}

// fits checks what only the plug-ins themselves can tell, and the scenario
// against the topology if there is one.
func fits(s *scenarios.File, t, top *scenarios.TopologyFile) error {
	var err error
	switch {
	case s != nil && top != nil:
		_, err = scenarios.Compile(s, top, plugins())
	case s != nil:
		err = s.Check(plugins())
	default:
		_, err = t.Open(plugins().Topology)
	}
	return err
}

func result(path string, s *scenarios.File, t *scenarios.TopologyFile, err error) checked {
	r := checked{File: path, Valid: err == nil, Problems: scenarios.Problems{}}
	switch {
	case s != nil:
		r.Kind, r.Name = s.Kind, s.Metadata.Name
	case t != nil:
		r.Kind, r.Name = t.Kind, t.Metadata.Name
	}
	if err != nil && !errors.As(err, &r.Problems) {
		r.Problems = scenarios.Problems{{File: path, Message: err.Error()}}
	}
	return r
}

func show(w io.Writer, results []checked, asJSON bool) error {
	valid := true
	for _, r := range results {
		valid = valid && r.Valid
		if asJSON {
			continue
		}
		if r.Valid {
			fmt.Fprintf(w, "%s: valid: %s %s\n", r.File, r.Kind, r.Name)
			continue
		}
		fmt.Fprintln(w, r.Problems.Error())
	}
	if asJSON {
		if err := encodeJSON(w, struct {
			Valid bool      `json:"valid"`
			Files []checked `json:"files"`
		}{valid, results}); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	if !valid {
		return exitError{code: verdict.ExitUsage}
	}
	return nil
}
