package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/lab"
)

// newLab makes the command "lab". home says where state is kept.
func newLab(home func() string) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Start real topologies as local processes",
		Long: `lab starts real database servers with a proxy in front, or simulated vendors of
language models behind a real gateway, as local processes of unprivileged users, to
learn with and to test against. As root each lab has a network namespace of its
own, so that no drill in it reaches this host. Without root all listen on loopback
addresses of this host, and network faults are not available.

State is in $FIREDRILL_HOME/lab; as root the servers' own files are in
/var/lib/firedrill. Downloads and ready data directories are cached in
/var/cache/firedrill, or without root in the user's cache directory.`,
		Example: `  firedrill lab list
  firedrill run scenarios/library/mysql-primary-loss.yaml --topology "$(firedrill lab up mysql)"
  firedrill lab down --all`,
	}
	c.AddCommand(newLabList(), newLabUp(home), newLabDown(home), newLabStatus(home), newLabReclone(home), newLabVendor())
	return c
}

// labOutput adds the flag -o and returns what prints a value by it.
func labOutput(c *cobra.Command) func(value any, table func(io.Writer)) error {
	var format string
	c.Flags().StringVarP(&format, "output", "o", "", "output format: json")
	return func(value any, table func(io.Writer)) error {
		out := c.OutOrStdout()
		switch format {
		case "json":
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			return e.Encode(value)
		case "":
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			table(w)
			return w.Flush()
		}
		return fmt.Errorf("-o %s: want json, or nothing for a table", format)
	}
}

func newLabList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the labs", Args: cobra.NoArgs,
		Example: `  firedrill lab list -o json`,
	}
	output := labOutput(c)
	c.RunE = func(*cobra.Command, []string) error {
		return output(lab.List(), func(w io.Writer) {
			fmt.Fprintln(w, "NAME\tROUTE\tWHAT IT IS")
			for _, i := range lab.List() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", i.Name, i.Route, i.About)
			}
		})
	}
	return c
}

func newLabUp(home func() string) *cobra.Command {
	c := &cobra.Command{
		Use: "up NAME", Short: "Start a lab, wait until it is healthy, print its topology file",
		Long: `up starts a lab and prints the path of its topology file once clients are served
through the route: writes reach every replica, or the vendor that is first in order
answers. A lab that is up is left alone; one of which a part is down is repaired, or
built anew if it cannot be.`,
		Args: cobra.ExactArgs(1), ValidArgs: labNames(),
		Example: `  firedrill lab up mysql`,
	}
	output := labOutput(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := lab.Up(cmd.Context(), home(), args[0], func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
		if err != nil {
			return err
		}
		return output(map[string]string{"name": args[0], "topology": path}, func(w io.Writer) { fmt.Fprintln(w, path) })
	}
	return c
}

// labUp brings a lab up for another command and returns its topology file.
func labUp(cmd *cobra.Command, name string) (string, error) {
	return lab.Up(cmd.Context(), home(), name, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
}

func newLabDown(home func() string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "down NAME...", Short: "End labs and remove everything of them",
		Long: `down ends a lab's processes and removes its network namespace with every rule in
it, and its files. A lab that is not up is no error. Only the cache stays.`,
		Args: cobra.ArbitraryArgs, ValidArgs: labNames(),
		Example: `  firedrill lab down mysql
  firedrill lab down --all`,
	}
	c.Flags().BoolVar(&all, "all", false, "every lab")
	output := labOutput(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return errors.New("name the labs to take down, or give --all")
		}
		if all {
			args = labNames()
		}
		down := []string{}
		var errs []error
		for _, name := range args {
			if err := takeDown(cmd, home(), name); err != nil {
				errs = append(errs, err)
				continue
			}
			down = append(down, name)
		}
		return errors.Join(append(errs, output(map[string][]string{"down": down}, func(w io.Writer) {
			for _, name := range down {
				fmt.Fprintf(w, "%s is down\n", name)
			}
		}))...)
	}
	return c
}

// takeDown ends a lab, and with it what an interrupted drill left in it. A drill
// that is still at work is not disturbed.
func takeDown(cmd *cobra.Command, home, name string) error {
	top := lab.TopologyName(name)
	if err := drills.Idle(home, top); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	if err := lab.Down(cmd.Context(), home, name); err != nil {
		return err
	}
	left, err := drills.Journals(home, top)
	for _, s := range left {
		err = errors.Join(err, drills.Discard(home, s.Path, plugins(), "lab down"))
	}
	return err
}

// newLabReclone is what a lab's topology names to rebuild a diverged member with.
func newLabReclone(home func() string) *cobra.Command {
	return &cobra.Command{
		Use: "reclone NAME MEMBER", Short: "Make a member's data anew, for it to follow the primary",
		Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lab.Reclone(cmd.Context(), home(), args[0], args[1])
		},
	}
}

func newLabStatus(home func() string) *cobra.Command {
	c := &cobra.Command{
		Use: "status [NAME...]", Short: "Show how labs are",
		Args: cobra.ArbitraryArgs, ValidArgs: labNames(),
		Example: `  firedrill lab status mysql -o json`,
	}
	output := labOutput(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = labNames()
		}
		var all []lab.Status
		for _, name := range args {
			st, err := lab.StatusOf(cmd.Context(), home(), name)
			if err != nil {
				return err
			}
			all = append(all, st)
		}
		return output(all, func(w io.Writer) { printLabs(w, all) })
	}
	return c
}

func printLabs(w io.Writer, all []lab.Status) {
	fmt.Fprintln(w, "LAB\tSTATE\tMEMBER\tADDRESS\tROLE\tPROCESS")
	for _, st := range all {
		fmt.Fprintf(w, "%s\t%s\t\t%s\t%s\t\n", st.Name, st.State, st.Route, strings.Join(st.LeadsTo, " "))
		for _, m := range slices.Concat(st.Members, st.Services) {
			fmt.Fprintf(w, "\t\t%s\t%s\t%s\t%d\n", m.Name, m.Address, m.Role, m.PID)
		}
		for _, p := range st.Problems {
			fmt.Fprintf(w, "\t\t%s\n", p)
		}
	}
}

func labNames() []string {
	var names []string
	for _, i := range lab.List() {
		names = append(names, i.Name)
	}
	return names
}
