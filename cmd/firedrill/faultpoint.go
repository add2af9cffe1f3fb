package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill/injectors/faultpoint"
)

// newFaultPoint makes the command "faultpoint".
func newFaultPoint() *cobra.Command {
	c := &cobra.Command{
		Use:   "faultpoint",
		Short: "Stand on the wire between a gateway and what it asks",
		Long: `faultpoint is a reverse proxy that passes everything on, unchanged and at once,
until a drill tells it through its socket to make a fault (llm-fault, http-fault).
It goes on without the runner; a fault that nobody clears ends when its time is
over.`,
	}
	c.AddCommand(newFaultPointServe(), newFaultPointStatus())
	return c
}

func newFaultPointServe() *cobra.Command {
	var socket string
	var points []string
	c := &cobra.Command{
		Use: "serve", Short: "Pass requests on, and make faults when told to",
		Long: `serve listens in the place of each member and passes requests on to it, until it
is asked to end (SIGTERM). The topology file names the same socket and the same
addresses in the component's faultPoint. Keys and passwords are what clients send;
they do not belong into these arguments.`,
		Args: cobra.NoArgs,
		Example: `  firedrill faultpoint serve --socket /run/firedrill/llm.sock \
    --point openai=127.0.0.1:4101=https://api.openai.com \
    --point vllm=127.0.0.1:4102=http://10.0.0.7:8000`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ps []faultpoint.Point
			for _, s := range points {
				p, err := faultpoint.ParsePoint(s)
				if err != nil {
					return fmt.Errorf("--point: %w", err)
				}
				ps = append(ps, p)
			}
			err := faultpoint.Serve(cmd.Context(), socket, ps, func() {
				fmt.Fprintf(cmd.ErrOrStderr(), "fault point at %s: %s\n", socket, strings.Join(points, " "))
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "path of the Unix socket that it is controlled through")
	c.Flags().StringArrayVar(&points, "point", nil, "MEMBER=HOST:PORT=URL: listen at HOST:PORT in the place of the member at URL (repeatable)")
	_ = c.MarkFlagRequired("socket")
	_ = c.MarkFlagRequired("point")
	return c
}

func newFaultPointStatus() *cobra.Command {
	var socket, output string
	c := &cobra.Command{
		Use: "status", Short: "Show where a fault point stands and what it does",
		Args:    cobra.NoArgs,
		Example: `  firedrill faultpoint status --socket /run/firedrill/llm.sock -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			st, err := faultpoint.NewClient(socket).State(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return encodeJSON(cmd.OutOrStdout(), st)
			}
			printFaultPoint(cmd.OutOrStdout(), st)
			return nil
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "path of the Unix socket that it is controlled through")
	c.Flags().StringVarP(&output, "output", "o", "", "output format: json")
	_ = c.MarkFlagRequired("socket")
	return c
}

func printFaultPoint(w io.Writer, st faultpoint.State) {
	fmt.Fprintf(w, "process %d, since %s, %d requests seen\n", st.PID, st.Since.UTC().Format(time.RFC3339), st.Next)
	for _, p := range st.Points {
		doing := "passes on to"
		if !p.Listening {
			doing = "refuses, instead of passing on to"
		}
		fmt.Fprintf(w, "%s: %s %s %s (%d connections open, %d requests)\n", p.Member, p.Listen, doing, p.Upstream, p.Connections, p.Requests)
		if p.Trouble != "" {
			fmt.Fprintf(w, "  last trouble: %s\n", p.Trouble)
		}
	}
	for _, f := range st.Faults {
		fmt.Fprintf(w, "fault %s: %s for %s, %g %% of what fits, %d requests hit, until %s at the latest\n", f.ID, f.Mode,
			strings.Join(f.Members, ", "), 100*f.Share, f.Hits, f.Expires.UTC().Format(time.RFC3339))
	}
	if len(st.Faults) == 0 {
		fmt.Fprintln(w, "no fault: everything is passed on")
	}
}
