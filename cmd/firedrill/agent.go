package main

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/vantage"
	"firedrill/lab"
)

// newAgent is the process that probes look from that are to stand where clients are;
// the runner starts it, and is at the other end of its standard input and output.
func newAgent() *cobra.Command {
	return &cobra.Command{
		Use:    "agent",
		Short:  "Look at a service for a runner elsewhere",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _ := os.Hostname()
			self := vantage.Ready{Version: version(), Host: host}
			return vantage.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), self, openJob)
		},
	}
}

// bringAgents hands this program to the nodes of a lab, if a drill looks from there.
func (f *runFlags) bringAgents(ctx context.Context, all []*drills.Drill) error {
	agents := slices.ContainsFunc(all, func(d *drills.Drill) bool {
		return slices.ContainsFunc(d.Series, func(s drills.SeriesStep) bool { return s.From != nil })
	})
	if f.lab == "" || !agents {
		return nil
	}
	return lab.ImportFiredrill(ctx, home(), f.lab, "")
}

// openJob makes the probe of one series.
func openJob(ctx context.Context, o vantage.Order, j vantage.Job, c timeline.Clock) (sampling.Observer, error) {
	k, err := plugins().Probes.Build(j.Kind, j.With)
	if err != nil {
		return nil, err
	}
	return k.Open(ctx, drills.Subject{
		Address: j.Address, Client: drills.Client(j.Client), Timeout: j.Timeout, Lanes: j.Concurrency, Clock: c, RunID: o.RunID,
	})
}
