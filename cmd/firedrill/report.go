package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

func newReport() *cobra.Command {
	return &cobra.Command{
		Use:   "report DIR",
		Short: "Compute a run's verdict and every report again from its record",
		Long: `report reads nothing but the record (run.jsonl, samples.jsonl, ledger.*) and
writes result.json, report.html, report.md and junit.xml, byte for byte the same
each time. It exits with the code of the run.`,
		Example: "  firedrill report ~/.local/state/firedrill/runs/20260102T030405-mysql-primary-loss-ab12cd34",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			res, err := judge(args[0])
			if err != nil {
				return err
			}
			if err := renderResult(args[0], res); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), res.Sentence)
			return exitOf(res)
		},
	}
}

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check that a run's record is whole and unchanged",
		Long: `verify walks the hash chain of run.jsonl and compares the digests of every file
that belongs to the record. It exits with 0 if the record is whole and with 4 if
it is not, and says what is wrong.`,
		Example: "  firedrill verify runs/20260102T030405-mysql-primary-loss-ab12cd34",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rec, err := timeline.Read(args[0])
			if err != nil {
				return err
			}
			for _, b := range rec.Broken {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], b)
			}
			if len(rec.Broken) > 0 {
				return exitError{code: verdict.ExitInconclusive}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: whole: %d events, chain and file digests hold; record sha256 %s\n",
				args[0], len(rec.Events), rec.Digest)
			return nil
		},
	}
}

// exitOf is the exit code of a result, as an error that says nothing.
func exitOf(res verdict.Result) error {
	if res.ExitCode == verdict.ExitMet {
		return nil
	}
	return exitError{code: res.ExitCode}
}
