package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/scenarios"
)

func newPlan() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "plan SCENARIO",
		Short: "Print what a drill would touch, in order, with the undo of each step",
		Long: `plan asks the topology who is who right now and prints every step of the drill
and how it would be undone. It touches nothing. Where a fault takes only some of the
members that fit, it shows those of --seed: give run the same one.

With --lab, what an interrupted drill left in that lab is put back first.`,
		Example: `  firedrill plan scenarios/library/mysql-primary-loss.yaml --topology production.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// An invalid scenario is said before a lab is started for it.
			if _, err := scenarios.Load(args[0], f.vars, entries()); err != nil {
				return err
			}
			path, err := f.topologyPath(cmd)
			if err != nil {
				return err
			}
			d, err := compile(args[0], path, f.vars)
			if err != nil {
				return err
			}
			if err := enter(cmd.Context(), d.Topology); err != nil {
				return err
			}
			p, err := drills.PreviewOf(cmd.Context(), d, plugins().Topology, f.seed)
			if err != nil {
				return err
			}
			if f.output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(p)
			}
			printPlan(cmd.OutOrStdout(), d)
			return printPreview(cmd.OutOrStdout(), p)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.topology, "topology", "", "topology file")
	fl.StringVar(&f.lab, "lab", "", "lab topology; it is started if it is not up")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of all chance")
	fl.StringToStringVar(&f.vars, "var", nil, "set a variable of the scenario: name=value")
	fl.StringVarP(&f.output, "output", "o", "", "output format: json")
	c.MarkFlagsMutuallyExclusive("topology", "lab")
	return c
}

// printPlan writes what is known without asking the topology.
func printPlan(w io.Writer, d *drills.Drill) {
	p := d.Plan
	fmt.Fprintf(w, "Scenario %s on topology %s\n", p.Scenario, p.Topology)
	for _, o := range p.Objectives {
		fmt.Fprintf(w, "  objective: %s of %s %s\n", o.Name, o.Component, target(o))
	}
	fmt.Fprintf(w, "  baseline %s, the topology may heal itself for %s, at the longest %s\n", p.Baseline, p.HealAfter, p.Longest)
	fmt.Fprintf(w, "  limits: %d members, %d sites\n", d.Limits.Members, d.Limits.Sites)
}

func printPreview(w io.Writer, p drills.Preview) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSTEP\tAT\tWHAT\tON\tUNDO")
	for i, s := range p.Steps {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", i+1, s.At.Round(time.Millisecond), s.What, s.On, s.Undo)
	}
	return t.Flush()
}

// target is what an objective asks for.
func target(o timeline.Objective) string {
	switch {
	case o.Limit == nil:
		return fmt.Sprintf("at most %s", o.Target)
	case o.Name == "availability" || o.Name == "fallback":
		return fmt.Sprintf("at least %g %%", 100**o.Limit)
	}
	return fmt.Sprintf("at most %g", *o.Limit)
}
