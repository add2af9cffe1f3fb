package probes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/timeline"
)

// ExecSpec is the command of an exec probe and the outcome it wants. The command
// inherits the runner's environment and finds in it FIREDRILL_ADDRESS and
// FIREDRILL_MEMBER (where they are known) and FIREDRILL_TIMEOUT (a Go duration).
type ExecSpec struct {
	// Command is the program and its arguments; no shell reads them.
	Command []string `json:"command" jsonschema:"minItems=1"`
	// Env is added to the environment.
	Env map[string]string `json:"env,omitempty"`
	// SecretEnv is added to the environment, with the values that the references
	// lead to.
	SecretEnv map[string]spec.Secret `json:"secretEnv,omitempty"`
	// ExpectExit is the exit code that counts as good (default 0).
	ExpectExit int `json:"expectExit,omitempty" jsonschema:"minimum=0,maximum=255"`
	// ExpectOutput is a regular expression (RE2) that the first 64 KiB of the
	// standard output must contain.
	ExpectOutput string `json:"expectOutput,omitempty"`
}

type execKind struct {
	spec   ExecSpec
	output *regexp.Regexp
}

func newExec(s ExecSpec) (drills.ProbeKind, error) {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return nil, errors.New("command: name a program")
	}
	k := &execKind{spec: s}
	if s.ExpectOutput == "" {
		return k, nil
	}
	re, err := regexp.Compile(s.ExpectOutput)
	if err != nil {
		return nil, fmt.Errorf("expectOutput: %w", err)
	}
	k.output = re
	return k, nil
}

// Clients returns fresh: every run of the command is a new client.
func (*execKind) Clients() []drills.Client { return []drills.Client{drills.Fresh} }

// Open finds the command and reads the secrets; it runs nothing.
func (k *execKind) Open(_ context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open exec probe: %w", err)
	}
	path, err := exec.LookPath(k.spec.Command[0])
	if err != nil {
		return nil, fmt.Errorf("open exec probe: find command: %w", err)
	}
	p := &execProbe{kind: k, path: path, env: os.Environ()}
	if s.Address != "" {
		p.env = append(p.env, "FIREDRILL_ADDRESS="+s.Address)
	}
	if s.Member != nil {
		p.env = append(p.env, "FIREDRILL_MEMBER="+s.Member.Name())
	}
	p.env = append(p.env, "FIREDRILL_TIMEOUT="+s.Timeout.String())
	for name, v := range k.spec.Env {
		p.env = append(p.env, name+"="+v)
	}
	for name, ref := range k.spec.SecretEnv {
		v, err := ref.Resolve()
		if err != nil {
			return nil, fmt.Errorf("open exec probe: variable %s: %w", name, err)
		}
		p.env, p.secrets = append(p.env, name+"="+v), append(p.secrets, v)
	}
	return p, nil
}

type execProbe struct {
	kind    *execKind
	path    string
	env     []string
	secrets redactor
}

// Observe runs the command. At the deadline its process group is killed.
func (p *execProbe) Observe(ctx context.Context) drills.Observation {
	cmd := exec.CommandContext(ctx, p.path, p.kind.spec.Command[1:]...)
	cmd.Env = slices.Clone(p.env)
	out, errs := &head{limit: answerLimit}, &head{limit: answerLimit}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A descendant that left the group may hold the pipes open: it is not waited for
	// without end. What the command said itself must have been read by then, or a good
	// answer would be taken for a wrong one.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		// Nothing was looked at: that says nothing about the service.
		return drills.Observation{Class: timeline.NoData, Detail: firstLine(err.Error())}
	}
	err := cmd.Wait()
	o := p.judge(ctx, cmd, err, out, errs)
	o.Detail = p.secrets.clean(o.Detail)
	return o
}

func (p *execProbe) judge(ctx context.Context, cmd *exec.Cmd, err error, out, errs *head) drills.Observation {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && !cmd.ProcessState.Exited():
		return failed(ctx, fmt.Errorf("command killed: %w", ctx.Err()), timeline.Timeout)
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return failed(ctx, err, timeline.Error)
	}
	if code := cmd.ProcessState.ExitCode(); code != p.kind.spec.ExpectExit {
		said := firstLine(string(errs.bytes) + "\n" + string(out.bytes))
		return drills.Observation{Class: timeline.Error, Detail: fmt.Sprintf("%s, want exit status %d: %.120s", cmd.ProcessState, p.kind.spec.ExpectExit, said)}
	}
	if re := p.kind.output; re != nil && !re.Match(out.bytes) {
		return drills.Observation{Class: timeline.WrongAnswer, Detail: firstLine(fmt.Sprintf("output: want a match of %q, got %.120q", re, out.bytes))}
	}
	return drills.Observation{Class: timeline.OK}
}

// head keeps the first bytes of what is written to it and drops the rest.
type head struct {
	bytes []byte
	limit int
}

func (h *head) Write(b []byte) (int, error) {
	h.bytes = append(h.bytes, b[:min(len(b), h.limit-len(h.bytes))]...)
	return len(b), nil
}
