package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill/drills/topology"
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
		Example: `  firedrill faultpoint status --socket /run/firedrill/llm.sock`,
	}
	c.AddCommand(newFaultPointServe(), newFaultPointStatus())
	return c
}

func newFaultPointServe() *cobra.Command {
	var f faultPointFlags
	c := &cobra.Command{
		Use: "serve", Short: "Pass requests on, and make faults when told to",
		Long: `serve listens in the place of each member and passes requests on to it, until it
is asked to end (SIGTERM). The topology file names the same socket and the same
addresses in the component's faultPoint. Keys and passwords are what clients send;
they do not belong into these arguments.

With --tls-cert and --tls-key it listens with TLS (HTTP/1.1), and with --dns-listen
it is the name server for the members' names as well: only then it can make
handshakes (mode tls) and names (mode dns) fail.`,
		Args: cobra.NoArgs,
		Example: `  firedrill faultpoint serve --socket /run/firedrill/llm.sock \
    --point openai=127.0.0.1:4101=https://api.openai.com \
    --point vllm=127.0.0.1:4102=http://10.0.0.7:8000`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.config()
			if err != nil {
				return err
			}
			err = faultpoint.Serve(cmd.Context(), cfg, func() {
				fmt.Fprintf(cmd.ErrOrStderr(), "fault point at %s: %s\n", cfg.Socket, strings.Join(f.points, " "))
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	f.add(c)
	_ = c.MarkFlagRequired("socket")
	_ = c.MarkFlagRequired("point")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	c.MarkFlagsRequiredTogether("dns-listen", "dns-name")
	return c
}

// faultPointFlags are the flags of serve.
type faultPointFlags struct {
	socket string
	points []string
	tls    topology.FaultPointTLS
	dns    topology.FaultPointDNS
	names  []string
}

func (f *faultPointFlags) add(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.socket, "socket", "", "path of the Unix socket that it is controlled through")
	fs.StringArrayVar(&f.points, "point", nil, "MEMBER=HOST:PORT=URL: listen at HOST:PORT in the place of the member at URL (repeatable)")
	fs.StringVar(&f.tls.Cert, "tls-cert", "", "path of the certificate (PEM) to listen with")
	fs.StringVar(&f.tls.Key, "tls-key", "", "path of its private key (PEM)")
	fs.StringVar(&f.dns.Listen, "dns-listen", "", "HOST:PORT to answer questions for names at (UDP and TCP)")
	fs.StringArrayVar(&f.names, "dns-name", nil, "MEMBER=NAME: answer with where it listens in the place of the member (repeatable)")
	fs.StringVar(&f.dns.Forward, "dns-forward", "", "HOST:PORT of the name server to ask for all other names; default: they are refused")
}

func (f *faultPointFlags) config() (faultpoint.Config, error) {
	c := faultpoint.Config{Socket: f.socket}
	for _, s := range f.points {
		p, err := faultpoint.ParsePoint(s)
		if err != nil {
			return c, fmt.Errorf("--point: %w", err)
		}
		c.Points = append(c.Points, p)
	}
	if f.tls.Cert != "" {
		c.TLS = &f.tls
	}
	if f.dns.Listen == "" {
		return c, nil
	}
	c.DNS, f.dns.Names = &f.dns, map[string]string{}
	for _, s := range f.names {
		member, name, ok := strings.Cut(s, "=")
		if !ok {
			return c, fmt.Errorf("--dns-name: %q: want MEMBER=NAME", s)
		}
		f.dns.Names[member] = name
	}
	return c, nil
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
		at := p.Listen
		if p.TLS {
			at += " (TLS)"
		}
		fmt.Fprintf(w, "%s: %s %s %s (%d connections open, %d requests)\n", p.Member, at, doing, p.Upstream, p.Connections, p.Requests)
		if p.Name != "" {
			fmt.Fprintf(w, "  is what %s resolves to at %s\n", p.Name, st.DNS)
		}
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
