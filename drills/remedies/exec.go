package remedies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// ExecSpec are the parameters of exec. In the arguments {component} stands for
// the component's name, {members} for the names of the targets, separated by
// commas, and {primary} for the present primary's. They end up in records: not
// for secrets.
type ExecSpec struct {
	// Command heals; it exits with 0 if it did. No shell is involved.
	Command []string `json:"command" jsonschema:"minItems=1"`
	// Undo reverts that when the drill ends; empty: nothing needs to be undone. It
	// must be safe to run when the command did not run or failed.
	Undo []string `json:"undo,omitempty"`
	// Timeout is how long either may take.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

// execUndo is what Revert needs.
type execUndo struct {
	Argv    []string      `json:"argv"`
	Timeout spec.Duration `json:"timeout"`
}

type execRemedy struct{ spec ExecSpec }

func newExec(s ExecSpec) (drills.Remedy, error) {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return nil, errors.New("with.command: name the program to run")
	}
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return execRemedy{s}, nil
}

// Apply runs the command once; its undo is journaled before.
func (r execRemedy) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	argv := fill(r.spec.Command, t)
	var undo *drills.Undo
	if len(r.spec.Undo) > 0 {
		u := execUndo{Argv: fill(r.spec.Undo, t), Timeout: r.spec.Timeout}
		data, err := json.Marshal(u)
		if err != nil {
			return fmt.Errorf("encode undo: %w", err)
		}
		undo = &drills.Undo{Says: "run " + strings.Join(u.Argv, " "), Data: data}
	}
	step := topology.Step{Name: "run " + argv[0]}
	if err := log.Intend(step.Name, undo); err != nil {
		return fmt.Errorf("journal step %s: %w", step.Name, err)
	}
	out, err := runCommand(ctx, argv, r.spec.Timeout.Std())
	if step.Detail = out; err != nil {
		step.Err = err.Error()
	}
	log.Step(step)
	return err
}

// Revert implements drills.Reverter.
func (execRemedy) Revert(ctx context.Context, u drills.Undo) error {
	var e execUndo
	if err := json.Unmarshal(u.Data, &e); err != nil || len(e.Argv) == 0 {
		return fmt.Errorf("read undo %q: %w", u.Says, errors.Join(err, errors.New("want argv")))
	}
	_, err := runCommand(ctx, e.Argv, e.Timeout.Std())
	return err
}

func fill(argv []string, t drills.Target) []string {
	var names []string
	for _, m := range t.Members {
		names = append(names, m.Name())
	}
	r := strings.NewReplacer("{component}", t.Component.Name(), "{members}", strings.Join(names, ","),
		"{primary}", strings.Join(t.State.With(topology.Primary), ","))
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = r.Replace(a)
	}
	return out
}

// runCommand returns the last line of output.
func runCommand(ctx context.Context, argv []string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	b, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := lines[len(lines)-1]
	switch {
	case ctx.Err() != nil:
		return last, fmt.Errorf("run %s: not done after %s: %w", argv[0], timeout, ctx.Err())
	case err != nil:
		return last, fmt.Errorf("run %s: %w: %s", argv[0], err, last)
	}
	return last, nil
}
