package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"firedrill/cmd/firedrill/live"
	"firedrill/drills"
	"firedrill/drills/verdict"
	"firedrill/lab"
	"firedrill/reports"
	"firedrill/scenarios"
)

// runFlags are the flags of run.
type runFlags struct {
	topology, lab, out string
	repeat             int
	seed               uint64
	vars               map[string]string
	yes                bool
	output             string

	// dirs are the run directories under out that no drill has taken yet.
	dirs []string
}

func newRun(h *hooks) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run SCENARIO...",
		Short: "Run drills",
		Long: `run carries out each scenario on a topology: it looks first, measures a baseline,
injects the faults, measures recovery, heals what does not heal itself, puts
everything back, accounts for every acknowledged write, and reports.

Ctrl-C stops the drill and puts everything back; a second one skips graceful waits.`,
		Example: `  firedrill run scenarios/library/mysql-primary-loss.yaml --lab mysql
  firedrill run drill.yaml --topology production.yaml --out evidence/2026-q1 --yes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, h) },
	}
	fl := c.Flags()
	fl.StringVar(&f.topology, "topology", "", "topology file")
	fl.StringVar(&f.lab, "lab", "", "lab topology to run on; it is started if it is not up")
	fl.StringVar(&f.out, "out", "", "run directory (default $FIREDRILL_HOME/runs/<start>-<scenario>-<id>)")
	fl.IntVar(&f.repeat, "repeat", 1, "run each scenario this many times, at varied instants, and report the distribution")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of all chance (default: random, recorded)")
	fl.StringToStringVar(&f.vars, "var", nil, "set a variable of the scenario: name=value")
	fl.BoolVar(&f.yes, "yes", false, "do not ask before touching a topology that is not a lab")
	fl.StringVarP(&f.output, "output", "o", "", "output format of the result on stdout: json")
	c.MarkFlagsMutuallyExclusive("topology", "lab")
	return c
}

// worse orders exit codes by what wins over what when several drills run.
var worse = []int{verdict.ExitMet, verdict.ExitUsage, verdict.ExitAborted, verdict.ExitInconclusive, verdict.ExitMissed, verdict.ExitDirty}

// worseOf is the one of two exit codes that wins.
func worseOf(a, b int) int {
	if slices.Index(worse, b) > slices.Index(worse, a) {
		return b
	}
	return a
}

func (f *runFlags) run(cmd *cobra.Command, args []string, h *hooks) error {
	// An invalid scenario is said before a lab is started for it.
	for _, scenario := range args {
		if _, err := scenarios.Load(scenario, f.vars, entries()); err != nil {
			return err
		}
	}
	path, err := f.topologyPath(cmd)
	if err != nil {
		return err
	}
	if f.repeat < 1 {
		return fmt.Errorf("--repeat %d: want 1 or more", f.repeat)
	}
	drillsToRun := make([]*drills.Drill, len(args))
	for i, scenario := range args {
		if drillsToRun[i], err = compile(scenario, path, f.vars); err != nil {
			return err
		}
	}
	if err := f.bringAgents(cmd.Context(), drillsToRun); err != nil {
		return err
	}
	if err := enter(cmd.Context(), drillsToRun[0].Topology); err != nil {
		return err
	}
	if err := f.consent(cmd, drillsToRun); err != nil {
		return err
	}
	if err := f.runDirs(drillsToRun); err != nil {
		return err
	}
	worst, errs := verdict.ExitMet, error(nil)
	for i := range drillsToRun {
		code, err := f.repeated(cmd, args[i], path, h)
		worst, errs = worseOf(worst, code), errors.Join(errs, err)
		if worst == verdict.ExitDirty || cmd.Context().Err() != nil {
			break
		}
	}
	if worst != verdict.ExitMet || errs != nil {
		return exitError{code: worst, err: errs}
	}
	return nil
}

// repeated runs one scenario as often as asked and reports the distribution.
func (f *runFlags) repeated(cmd *cobra.Command, scenario, topologyPath string, h *hooks) (int, error) {
	worst, results := verdict.ExitMet, []verdict.Result{}
	for n := range f.repeat {
		// Compiled anew each time: a plug-in may keep nothing from the run before.
		d, err := compile(scenario, topologyPath, f.vars)
		if err != nil {
			return worseOf(worst, codeOf(err)), err
		}
		seed := f.seed
		if seed == 0 {
			seed = rand.Uint64()>>11 | 1 // fits a JSON number exactly
		}
		seed += uint64(n)
		if f.repeat > 1 {
			// The instant of injection varies against heartbeats and leases.
			d.Plan.Baseline += time.Duration(rand.New(rand.NewPCG(seed, 1)).Int64N(int64(2 * time.Second)))
		}
		dir, id, err := f.nextDir(d)
		if err != nil {
			return worseOf(worst, codeOf(err)), err
		}
		res, err := f.once(cmd, d, dir, id, seed, h)
		if err != nil {
			return worseOf(worst, codeOf(err)), err
		}
		results = append(results, res)
		worst = worseOf(worst, res.ExitCode)
		if res.ExitCode == verdict.ExitDirty || cmd.Context().Err() != nil {
			break
		}
	}
	if f.repeat > 1 {
		return worst, f.distribution(cmd, verdict.Distribute(results))
	}
	return worst, nil
}

// once runs one drill and reports it.
func (f *runFlags) once(cmd *cobra.Command, d *drills.Drill, dir, id string, seed uint64, h *hooks) (verdict.Result, error) {
	view := live.New(cmd.ErrOrStderr(), d.Plan)
	hurry, _ := cmd.Context().Value(hurryKey{}).(<-chan struct{})
	o := drills.Options{
		Home: home(), Dir: dir, RunID: id, Seed: seed, Version: version(), Operator: operator(),
		Plugins: plugins(), Watcher: view, Hurry: hurry,
		Watchdog: func(ctx context.Context, journal string) error { return startWatchdog(ctx, journal, dir) },
		Recovered: func(rec drills.Recovery) {
			printRecovery(cmd.ErrOrStderr(), rec)
			_ = render(rec.RunDir) // `firedrill report` does it again
		},
	}
	if h != nil {
		o.AfterJournal, o.Slack = h.afterJournal, h.slack
		if h.noWatchdog {
			o.Watchdog = func(context.Context, string) error { return nil }
		}
	}
	clean, err := drills.Run(cmd.Context(), d, o)
	view.Close()
	if err != nil {
		if !clean {
			err = fmt.Errorf("%w: %w", drills.ErrDirty, err)
		}
		return verdict.Result{}, exitOr(err, verdict.ExitAborted)
	}
	res, err := judge(dir)
	if err != nil {
		return res, exitOr(err, verdict.ExitInconclusive)
	}
	if err := renderResult(dir, res); err != nil {
		return res, unreported(res, dir, err)
	}
	// The verdict stands in the run directory: that nobody reads the output any more
	// changes nothing.
	_ = reports.Summary(cmd.ErrOrStderr(), res, dir)
	if f.output == "json" {
		_ = reports.JSON(cmd.OutOrStdout(), res)
	} else {
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(dir, "report.html"))
	}
	return res, nil
}

// unreported is the error of a drill whose record is whole but whose reports could
// not be written. It is not met before somebody can read that it was.
func unreported(res verdict.Result, dir string, err error) error {
	code := res.ExitCode
	if code == verdict.ExitMet {
		code = verdict.ExitInconclusive
	}
	return exitError{code: code, err: fmt.Errorf("%s The reports are not written: %w: make room, then firedrill report %s", res.Sentence, err, dir)}
}

// exitOr gives an error that has no exit code of its own one.
func exitOr(err error, code int) error {
	if errors.Is(err, drills.ErrDirty) || errors.Is(err, drills.ErrLocked) {
		return err
	}
	return exitError{code: code, err: err}
}

// topologyPath is the topology file, of a lab that is started if need be.
func (f *runFlags) topologyPath(cmd *cobra.Command) (string, error) {
	switch {
	case f.lab != "":
	case f.topology != "":
		return f.topology, nil
	default:
		return "", errors.New("say what to drill: --topology FILE, or --lab NAME (firedrill lab list)")
	}
	// First what an interrupted drill left there: starting a lab may rebuild it.
	all, err := recoverAll(cmd, lab.TopologyName(f.lab))
	for _, rec := range all {
		printRecovery(cmd.ErrOrStderr(), rec)
	}
	if err != nil {
		return "", err
	}
	return labUp(cmd, f.lab)
}

func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
