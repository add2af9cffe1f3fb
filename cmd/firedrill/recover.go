package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"

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
				rec, err := recoverOne(cmd, one)
				return errors.Join(json.NewEncoder(cmd.OutOrStdout()).Encode(rec), err)
			}
			all, err := recoverAll(cmd, "")
			if output == "json" {
				return errors.Join(encodeJSON(cmd.OutOrStdout(), all), err)
			}
			if len(all) == 0 && err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing to recover.")
			}
			for _, rec := range all {
				printRecovery(cmd.OutOrStdout(), rec)
			}
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "output format: json")
	c.Flags().StringVar(&one, "journal", "", "recover this journal only")
	_ = c.Flags().MarkHidden("journal")
	return c
}

// recoverAll recovers what runs on a topology left ("": on all), oldest first, and
// goes on after an error.
func recoverAll(cmd *cobra.Command, topologyName string) ([]drills.Recovery, error) {
	left, err := drills.Journals(home(), topologyName)
	errs := []error{err}
	all := []drills.Recovery{}
	for _, s := range left {
		rec, err := recoverInside(cmd, s)
		if errs = append(errs, err); err == nil || rec.RunID != "" {
			all = append(all, rec)
		}
	}
	return all, errors.Join(errs...)
}

// recoverInside recovers one journal, from the network namespace of its run.
func recoverInside(cmd *cobra.Command, s journal.State) (rec drills.Recovery, err error) {
	ns := s.Header.Namespace
	if in, err := netns.Inside(ns); ns == "" || err == nil && in {
		return recoverOne(cmd, s.Path)
	}
	exe, err := os.Executable()
	if err != nil {
		return rec, fmt.Errorf("recover run %s: %w", s.Header.RunID, err)
	}
	child := exec.CommandContext(cmd.Context(), exe, "recover", "--journal", s.Path)
	child.Stderr = cmd.ErrOrStderr()
	out, err := child.Output()
	_ = json.Unmarshal(out, &rec) // a child that failed early says why, and nothing here
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = exitError{code: exit.ExitCode()}
	}
	return rec, err
}

// recoverOne recovers one journal; it first enters the run's network namespace.
func recoverOne(cmd *cobra.Command, path string) (drills.Recovery, error) {
	s, err := journal.Read(path)
	if err != nil {
		return drills.Recovery{}, err
	}
	if ns := s.Header.Namespace; ns != "" {
		if err := netns.Enter(ns); err != nil {
			return drills.Recovery{}, fmt.Errorf("%w: run %s: %w", drills.ErrDirty, s.Header.RunID, err)
		}
	}
	if err := drills.Idle(home(), s.Header.Topology); errors.Is(err, drills.ErrLocked) {
		fmt.Fprintf(cmd.ErrOrStderr(), "firedrill: waiting for the runner or watchdog of run %s, which is at work on %s\n", s.Header.RunID, s.Header.Topology)
	}
	rec, err := drills.Recover(cmd.Context(), home(), path, plugins(), "firedrill recover", true)
	if rec.RunDir != "" {
		if rerr := render(rec.RunDir); rerr != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "firedrill: the report of the interrupted run could not be written:", rerr)
		}
	}
	return rec, err
}

// printRecovery says what was undone.
func printRecovery(w io.Writer, rec drills.Recovery) {
	for _, u := range rec.Undone {
		line := fmt.Sprintf("run %s: %s: %s (%s)", rec.RunID, u.Name, u.Outcome, u.Says)
		if u.Error != "" {
			line += ": " + u.Error
		}
		fmt.Fprintln(w, line)
	}
	for _, m := range slices.Sorted(maps.Keys(rec.KeptOut)) {
		fmt.Fprintf(w, "run %s: member %s is kept out: %s\n", rec.RunID, m, rec.KeptOut[m])
	}
	if rec.RunID == "" {
		fmt.Fprintln(w, "Nothing left to recover: it was put back meanwhile.")
	}
}
