package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"firedrill/scenarios"
)

func newKinds() *cobra.Command {
	var output string
	var rbac rbacFlags
	c := &cobra.Command{
		Use:   "kinds [KIND | --rbac SCENARIO...]",
		Short: "List the kinds of probes, faults, remedies, components, controls and routes",
		Long: `kinds lists everything that scenario and topology files can name as kind. With
a name it shows what that kind takes under "with".

With --rbac it prints Kubernetes manifests instead: a ServiceAccount, and the roles
that give it what the named scenarios need on a topology, and no more. Nothing is
applied, and no cluster is asked.`,
		Example: `  firedrill kinds
  firedrill kinds process-kill
  firedrill kinds -o json
  firedrill kinds --rbac pod-kill --topology scenarios/library/topology-kubernetes.yaml > rbac.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if rbac.wanted {
				return cobra.MinimumNArgs(1)(cmd, args)
			}
			return cobra.MaximumNArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if rbac.wanted {
				return rbac.print(cmd, args)
			}
			if err := rbac.idle(cmd); err != nil {
				return err
			}
			if output != "" && output != "json" {
				return fmt.Errorf("output format %q: want json", output)
			}
			docs, err := chosenKinds(args)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch {
			case output == "json":
				return encodeJSON(w, docs)
			case len(args) == 0:
				return listKinds(w, docs)
			}
			return describeKinds(w, docs)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "output format: json")
	rbac.register(c)
	return c
}

// encodeJSON writes v for programs to read.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// chosenKinds returns all kinds, or those of the name that is given: several
// sorts may use the same one.
func chosenKinds(args []string) ([]scenarios.KindDoc, error) {
	docs, err := scenarios.DescribeBuiltin()
	if err != nil || len(args) == 0 {
		return docs, err
	}
	docs = slices.DeleteFunc(docs, func(d scenarios.KindDoc) bool { return d.Name != args[0] })
	if len(docs) == 0 {
		return nil, fmt.Errorf("unknown kind %q: firedrill kinds lists them", args[0])
	}
	return docs, nil
}

func listKinds(w io.Writer, docs []scenarios.KindDoc) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SORT\tKIND\tWHAT IT DOES")
	for _, d := range docs {
		fmt.Fprintf(t, "%s\t%s\t%s\n", d.Sort, d.Name, d.Doc)
	}
	return t.Flush()
}

func describeKinds(w io.Writer, docs []scenarios.KindDoc) error {
	for i, d := range docs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s %s: %s\n", d.Sort, d.Name, d.Doc)
		if len(d.Parameters) == 0 {
			fmt.Fprintln(w, "\n  It takes no parameters.")
			continue
		}
		fmt.Fprintln(w)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  KEY\tTYPE\tDEFAULT\tMEANING")
		for _, p := range d.Parameters {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", p.Name, p.Type, defaultOf(p), cmp.Or(p.Doc, "-"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// defaultOf is a parameter's default as people write it.
func defaultOf(p scenarios.Parameter) string {
	if p.Required {
		return "(required)"
	}
	switch def := p.Default.(type) {
	case nil:
		return "-"
	case string:
		return def
	default:
		b, err := json.Marshal(def)
		if err != nil {
			return fmt.Sprint(def)
		}
		return string(b)
	}
}
