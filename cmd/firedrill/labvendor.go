package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"firedrill/drills/spec"
	"firedrill/lab/vendor"
)

// newLabVendor is the process that labs run for each of their vendors.
func newLabVendor() *cobra.Command {
	var cfg vendor.Config
	var keyFile string
	c := &cobra.Command{
		Use: "vendor", Short: "Be a simulated vendor of models, until a signal comes",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keyFile != "" {
				key, err := spec.Secret("file:" + keyFile).Resolve()
				if err != nil {
					return fmt.Errorf("--key-file: %w", err)
				}
				cfg.Key = key
			}
			return vendor.Serve(cmd.Context(), cfg, func(url string) {
				fmt.Fprintf(cmd.OutOrStdout(), "vendor %s listens on %s\n", cfg.Name, url)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Name, "name", "", "its name, in every answer")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "loopback address host:port")
	f.StringVar(&cfg.Admin, "admin", "", "path of the Unix socket of its admin API")
	f.StringSliceVar(&cfg.Models, "models", nil, "its models")
	f.StringVar(&keyFile, "key-file", "", "file with the key that clients must send")
	f.IntVar(&cfg.Dimension, "dimension", 0, "length of embeddings (default 256)")
	f.Uint64Var(&cfg.Seed, "seed", 0, "vector space of embeddings")
	f.DurationVar(&cfg.TokenDelay, "token-delay", 5*time.Millisecond, "time from token to token")
	f.StringVar(&cfg.Log, "log", "", "file to append each request to")
	return c
}
