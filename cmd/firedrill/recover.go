package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/journal"
	"firedrill/drills/topology/netns"
)

func newRecover() *cobra.Command {
	var output, one string
	c := &cobra.Command{
		Use:   "recover",
		Short: "Put back whatever an interrupted run left",
		Long: `recover reads the journals of runs that did not end and undoes, newest first,
what they announced. It needs nothing but the journal, and may be run again and
again. It waits for a runner or a watchdog that is still at work.`,
		Example: "  firedrill recover\n  firedrill recover -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if one != "" {
				return recoverOne(cmd, one, output)
			}
			left, err := drills.Journals(home(), "")
			if err != nil {
				return err
			}
			if len(left) == 0 && output != "json" {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing to recover.")
			}
			var errs []error
			for _, s := range left {
				errs = append(errs, recoverInside(cmd, s, output))
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "output format: json")
	c.Flags().StringVar(&one, "journal", "", "recover this journal only")
	_ = c.Flags().MarkHidden("journal")
	return c
}

// recoverInside recovers one journal, from the network namespace of its run.
func recoverInside(cmd *cobra.Command, s journal.State, output string) error {
	ns := s.Header.Namespace
	if ns == "" {
		return recoverOne(cmd, s.Path, output)
	}
	if in, err := netns.Inside(ns); err == nil && in {
		return recoverOne(cmd, s.Path, output)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("recover run %s: %w", s.Header.RunID, err)
	}
	child := exec.CommandContext(cmd.Context(), exe, "recover", "--journal", s.Path, "--output", output)
	child.Stdout, child.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitError{code: exit.ExitCode()}
	}
	return err
}

// recoverOne recovers one journal; it first enters the run's network namespace.
func recoverOne(cmd *cobra.Command, path, output string) error {
	s, err := journal.Read(path)
	if err != nil {
		return err
	}
	if ns := s.Header.Namespace; ns != "" {
		if err := netns.Enter(ns); err != nil {
			return fmt.Errorf("%w: run %s: %w", drills.ErrDirty, s.Header.RunID, err)
		}
	}
	rec, err := drills.Recover(cmd.Context(), home(), path, plugins(), "firedrill recover", true)
	if rerr := render(rec.RunDir); rerr != nil && rec.RunDir != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "firedrill: the report of the interrupted run could not be written:", rerr)
	}
	if output == "json" {
		return errors.Join(json.NewEncoder(cmd.OutOrStdout()).Encode(rec), err)
	}
	if rec.RunID == "" {
		fmt.Fprintln(cmd.OutOrStdout(), "Nothing left to recover: it was put back meanwhile.")
	}
	for _, u := range rec.Undone {
		fmt.Fprintf(cmd.OutOrStdout(), "run %s: %s: %s (%s) %s\n", rec.RunID, u.Name, u.Outcome, u.Says, u.Error)
	}
	for m, why := range rec.KeptOut {
		fmt.Fprintf(cmd.OutOrStdout(), "run %s: member %s is kept out: %s\n", rec.RunID, m, why)
	}
	return err
}
