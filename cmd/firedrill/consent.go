package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"firedrill/drills"
	"firedrill/drills/verdict"
)

// consent asks a person before a drill touches something that is not a lab.
func (f *runFlags) consent(cmd *cobra.Command, ds []*drills.Drill) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if f.yes || f.lab != "" || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	w := cmd.ErrOrStderr()
	for _, d := range ds {
		printPlan(w, d)
		p, err := drills.PreviewOf(cmd.Context(), d, plugins().Topology, cmp.Or(f.seed, 1))
		if err != nil {
			return err
		}
		if err := printPreview(w, p); err != nil {
			return err
		}
	}
	fmt.Fprint(w, "Go on? Type yes: ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return exitError{code: verdict.ExitAborted, err: errors.New("not confirmed; nothing was touched")}
	}
	return nil
}
