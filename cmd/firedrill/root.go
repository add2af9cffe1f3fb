package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/verdict"
	"firedrill/scenarios"
)

// hooks let tests look into a run; the program itself sets none.
type hooks struct {
	// afterJournal is called after every journal append with their number so far.
	afterJournal func(n int)
	// noWatchdog leaves the watchdog out, as if it had been killed too.
	noWatchdog bool
	// slack replaces that of a fault's time to live.
	slack time.Duration
}

// exitError carries an exit code to the one place that ends the program.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// execute runs the command line and returns the exit code.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer, h *hooks) int {
	ctx, stop := signals(stderr)
	defer stop()
	root := newRoot(h)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		complain(stderr, err)
	}
	return codeOf(err)
}

// codeOf is the exit code that an error stands for.
func codeOf(err error) int {
	var exit exitError
	switch {
	case err == nil:
		return verdict.ExitMet
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, drills.ErrDirty):
		return verdict.ExitDirty
	case errors.Is(err, drills.ErrLocked), errors.Is(err, drills.ErrAborted), errors.Is(err, context.Canceled):
		return verdict.ExitAborted
	}
	return verdict.ExitUsage
}

// complain says what went wrong. What is wrong with a file is one line for each
// problem, as compilers print it, for editors and pipelines to read.
func complain(stderr io.Writer, err error) {
	var ps scenarios.Problems
	switch {
	case errors.As(err, &ps):
		fmt.Fprintln(stderr, ps.Error())
	case err.Error() != "":
		fmt.Fprintln(stderr, "firedrill:", err)
	}
}

// errSignal is the cause of a drill that was stopped by a signal.
type errSignal struct{ sig os.Signal }

func (e errSignal) Error() string { return fmt.Sprintf("stopped by signal: %s", e.sig) }

func (e errSignal) Is(target error) bool { return target == drills.ErrAborted }

// hurryKey finds the channel that a second signal closes.
type hurryKey struct{}

// deafKey finds the function that ends the catching of signals.
type deafKey struct{}

// signals returns a context that ends with the first SIGINT, SIGTERM or SIGHUP (the
// terminal is closed); a second one closes the context's hurry channel. None of them
// kills the program outright: whatever was done is undone first. Nor does a reader of
// its output that goes away.
func signals(stderr io.Writer) (context.Context, func()) {
	hurry := make(chan struct{})
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), hurryKey{}, (<-chan struct{})(hurry)))
	ch, all := make(chan os.Signal, 2), []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) has it ignored
		all = append(all, syscall.SIGHUP)
	}
	signal.Notify(ch, all...)
	// Caught rather than ignored: programs that this one starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		n := 0
		for sig := range ch {
			switch n++; n {
			case 1:
				cancel(errSignal{sig})
			case 2:
				fmt.Fprintln(stderr, "firedrill: still putting everything back, without graceful waits")
				close(hurry)
			}
		}
	}()
	deaf := func() {
		signal.Stop(ch)
		close(ch)
		<-heard
	}
	// The signals stay caught: one that comes when everything is done must not
	// change the exit code any more.
	return context.WithValue(ctx, deafKey{}, deaf), func() { cancel(nil) }
}

// heard ends the catching of signals and returns the one that has come, if any. From
// now on they kill the program: it may be called once, where nothing is touched yet.
func heard(ctx context.Context) error {
	if deaf, ok := ctx.Value(deafKey{}).(func()); ok {
		deaf()
	}
	return context.Cause(ctx)
}

func newRoot(h *hooks) *cobra.Command {
	root := &cobra.Command{
		Use:   "firedrill",
		Short: "Chaos and failover drills whose numbers hold",
		Long: `firedrill injects faults, measures recovery time and data loss against RTO and
RPO targets, heals what does not heal itself, puts everything back, and writes
down evidence from which every number can be computed again.

Exit codes: 0 objectives met, everything put back; 1 an objective missed;
2 usage or invalid file, nothing touched; 3 aborted, everything put back;
4 inconclusive; 5 not proven that everything is put back.`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return knownOutput(cmd) },
	}
	root.AddCommand(
		newInit(), newValidate(), newPlan(), newRun(h), newRecover(), newWatchdog(),
		newReport(), newVerify(), newLab(home), newKinds(), newSchema(), newFaultPoint(), newAgent(),
	)
	return root
}

// knownOutput refuses an output format that there is not, before anything is done.
func knownOutput(cmd *cobra.Command) error {
	if f := cmd.Flags().Lookup("output"); f != nil && f.Value.String() != "" && f.Value.String() != "json" {
		return fmt.Errorf("--output %q: want json, or nothing for text", f.Value)
	}
	return nil
}

// home is where firedrill keeps its state.
func home() string {
	if dir := os.Getenv("FIREDRILL_HOME"); dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
		return dir
	}
	return filepath.Join(xdg.StateHome, "firedrill")
}

// version is what the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && (v == "" || v == "(devel)") {
			v = s.Value[:12]
		}
	}
	return v
}
