package injectortest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
)

// Job is what another process is told.
type Job struct {
	Members []topology.MemberSpec `json:"members"`
	Others  []topology.MemberSpec `json:"others,omitempty"`
	// Component, and the names of the members to act on, instead of Members.
	Component *topology.ComponentSpec `json:"component,omitempty"`
	Parts     []string                `json:"parts,omitempty"`

	Verb string          `json:"verb"`
	Kind string          `json:"kind"`
	With json.RawMessage `json:"with"`
	Undo drills.Undo     `json:"undo"`
}

// gone is the exit code that stands for drills.ErrGone.
const gone = 9

// Worker is the role "worker" of controltest.Main: a process that injects or
// reverts one fault, from its standard input alone.
func Worker(k topology.Kinds, all func(topology.Kinds) kind.Catalogue[drills.Injector]) controltest.Role {
	return func([]string) int {
		var j Job
		err := json.NewDecoder(os.Stdin).Decode(&j)
		if err == nil {
			err = j.do(k, all(k))
		}
		switch {
		case errors.Is(err, drills.ErrGone):
			return gone
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

func (j Job) do(k topology.Kinds, all kind.Catalogue[drills.Injector]) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	i, err := all.Build(j.Kind, j.With)
	if err != nil {
		return err
	}
	if j.Verb == "revert" {
		return i.Revert(ctx, j.Undo)
	}
	t, err := j.target(k)
	if err != nil {
		return err
	}
	return i.Inject(ctx, t, j.Undo)
}

func (j Job) target(k topology.Kinds) (drills.Target, error) {
	if j.Component != nil {
		return OpenPart(k, *j.Component, j.Parts)
	}
	return OpenTarget(k, j.Members, j.Others)
}

// command is another process that is to do the job.
func (l *life) command(ctx context.Context, verb string) (*exec.Cmd, *bytes.Buffer) {
	l.t.Helper()
	j := *l.Worker
	j.Verb, j.Kind, j.With, j.Undo = verb, l.Kind, json.RawMessage(l.With), l.undo
	b, err := json.Marshal(j)
	require.NoError(l.t, err)
	exe, err := os.Executable()
	require.NoError(l.t, err)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = os.Environ()
	for k, v := range controltest.As("worker") {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(b), &stderr
	return cmd, &stderr
}

// work has another process do the job to its end.
func (l *life) work(ctx context.Context, verb string) error {
	l.t.Helper()
	cmd, stderr := l.command(ctx, verb)
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() == gone {
		return drills.ErrGone
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// kill has another process begin the job and kills it (SIGKILL) some time after
// it has started.
func (l *life) kill(ctx context.Context, verb string, after time.Duration) {
	l.t.Helper()
	// The start of the program takes a while of its own.
	ctx, cancel := context.WithTimeout(ctx, after+moment/2)
	defer cancel()
	cmd, _ := l.command(ctx, verb)
	_ = cmd.Run()
}
