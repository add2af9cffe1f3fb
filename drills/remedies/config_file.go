package remedies

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// ConfigFileSpec changes a configuration file on the runner's own host and has it
// reloaded. In all texts {component} stands for the component's name, {members}
// for the names of the targets, separated by commas, {primary} for the primary's
// before the drill, and {next} for the member's that is next in order after the
// primary. They end up in records: not for secrets. What the file holds does not.
type ConfigFileSpec struct {
	// Path is the file; it must exist. Its owner and mode stay as they are.
	Path string `json:"path"`
	// Content is what the file is to hold.
	Content string `json:"content,omitempty"`
	// Replace changes parts of what it holds instead, in order.
	Replace []Replacement `json:"replace,omitempty"`
	// Validate is a command that exits with 0 if the new content is good; {file}
	// stands for the path of a file that holds it, beside the old one. If it says no,
	// nothing has been changed.
	Validate []string `json:"validate,omitempty"`
	// Reload is a command that makes the file's reader read it, and returns when it
	// has: after a signal alone, the check may still meet the old state. No shell is
	// involved.
	Reload []string `json:"reload,omitempty"`
	// Check must hold some time after the reload, with the new content and with the
	// old one: that the service answers.
	Check *ConfigCheck `json:"check,omitempty"`
	// Timeout is how long each of validate, reload and check may take.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

// Replacement replaces a text wherever it stands.
type Replacement struct {
	// Old is the text as it is; it must be there.
	Old string `json:"old"`
	// New is the text that takes its place; empty: none.
	New string `json:"new,omitempty"`
}

// ConfigCheck is either a command or a GET request.
type ConfigCheck struct {
	// Command exits with 0 if all is well.
	Command []string `json:"command,omitempty"`
	// URL is asked with GET.
	URL string `json:"url,omitempty"`
	// ExpectStatus lists the status codes that are good (default: 200 to 299).
	ExpectStatus []int `json:"expectStatus,omitempty"`
	// ExpectBody is a regular expression (RE2) that the answer must contain.
	ExpectBody string `json:"expectBody,omitempty"`
}

type configFile struct{ spec ConfigFileSpec }

func newConfigFile(s ConfigFileSpec) (drills.Remedy, error) {
	switch {
	case !filepath.IsAbs(s.Path):
		return nil, fmt.Errorf("with.path: %q: want an absolute path", s.Path)
	case (s.Content == "") == (len(s.Replace) == 0):
		return nil, errors.New("with: give either content or replace")
	case s.Timeout <= 0:
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	for i, r := range s.Replace {
		if r.Old == "" || r.Old == r.New {
			return nil, fmt.Errorf("with.replace[%d]: old must be a text, and another one than new", i)
		}
	}
	for field, argv := range map[string][]string{"validate": s.Validate, "reload": s.Reload} {
		if len(argv) > 0 && argv[0] == "" {
			return nil, fmt.Errorf("with.%s: name the program to run", field)
		}
	}
	if len(s.Reload) == 0 && s.Check == nil {
		return nil, errors.New("with: give reload, or, if the file's reader watches it, check: else nobody knows that it was read")
	}
	return configFile{s}, s.Check.valid()
}

// Apply replaces the file in one stroke once the new content was found good, and
// has it reloaded. A file that holds the new content already is only reloaded.
func (r configFile) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	swap, content, err := r.plan(t)
	if err != nil {
		return err
	}
	if swap.Was == swap.Now {
		log.Step(topology.Step{Name: "replace " + swap.Path, Detail: "holds that already"})
	} else if err := r.replace(ctx, t, swap, content, log); err != nil {
		return err
	}
	if len(swap.Reload) > 0 {
		err := deed(log, topology.Step{Name: "reload"}, nil, func() (string, error) {
			return runCommand(ctx, swap.Reload, swap.Timeout.Std())
		})
		if err != nil {
			return err
		}
	}
	if swap.Check == nil {
		return nil
	}
	return deed(log, topology.Step{Name: "check"}, nil, func() (string, error) { return "", swap.check(ctx) })
}

// replace keeps a copy, has the new content validated, and puts it in place.
func (r configFile) replace(ctx context.Context, t drills.Target, swap configSwap, content []byte, log drills.RemedyLog) error {
	undo, err := undoWith("put the old "+swap.Path+" back and reload it", swap)
	if err != nil {
		return err
	}
	keep := topology.Step{Name: "keep a copy of " + swap.Path}
	if err := deed(log, keep, undo, func() (string, error) { return swap.Copy, swap.keep() }); err != nil {
		return err
	}
	err = deed(log, topology.Step{Name: "validate"}, nil, func() (string, error) {
		if err := swap.write(content); err != nil || len(r.spec.Validate) == 0 {
			return "no command given", err
		}
		argv, err := placed(t, r.spec.Validate...)
		if err != nil {
			return "", err
		}
		for i, a := range argv {
			argv[i] = strings.ReplaceAll(a, "{file}", swap.Candidate)
		}
		return runCommand(ctx, argv, swap.Timeout.Std())
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%s is as it was: the new content is not good: %w", swap.Path, err), swap.tidy())
	}
	return deed(log, topology.Step{Name: "replace " + swap.Path}, nil, func() (string, error) {
		return "", swap.install(swap.Was)
	})
}

// plan reads the file and says what is to become of it.
func (r configFile) plan(t drills.Target) (configSwap, []byte, error) {
	fail := func(err error) (configSwap, []byte, error) {
		return configSwap{}, nil, fmt.Errorf("config file %s: %w", r.spec.Path, err)
	}
	texts, err := placed(t, r.spec.Path)
	if err != nil {
		return fail(err)
	}
	path, err := filepath.EvalSymlinks(texts[0])
	if err != nil {
		return fail(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	content, err := r.render(t, string(old))
	if err != nil {
		return fail(err)
	}
	tag := "firedrill-" + strings.ToLower(rand.Text()[:12])
	// The candidate keeps its extension, which validators go by, and begins with a
	// dot, which directories of configuration files pass over.
	s := configSwap{
		Path: path, Copy: path + "." + tag, Candidate: filepath.Join(filepath.Dir(path), "."+tag+"-"+filepath.Base(path)),
		Was: digest(old), Now: digest([]byte(content)), Timeout: r.spec.Timeout,
	}
	if s.Owner, err = ownerOf(path); err != nil {
		return fail(err)
	}
	if s.Reload, err = placed(t, r.spec.Reload...); err != nil {
		return fail(err)
	}
	s.Check, err = r.spec.Check.at(t)
	return s, []byte(content), err
}

// render returns the new content. Rendering what it returns once more changes
// nothing.
func (r configFile) render(t drills.Target, old string) (string, error) {
	if len(r.spec.Replace) == 0 {
		texts, err := placed(t, r.spec.Content)
		return texts[0], err
	}
	for i, rep := range r.spec.Replace {
		texts, err := placed(t, rep.Old, rep.New)
		if err != nil {
			return "", err
		}
		from, to := texts[0], texts[1]
		if !strings.Contains(old, from) && (to == "" || !strings.Contains(old, to)) {
			return "", fmt.Errorf("with.replace[%d].old: the file does not hold %q", i, from)
		}
		pairs := []string{from, to}
		switch {
		case to == "":
		case len(to) > len(from): // what is replaced already stays, even if it holds the old text
			pairs = []string{to, to, from, to}
		default: // the old text goes, even if it holds the new one
			pairs = []string{from, to, to, to}
		}
		old = strings.NewReplacer(pairs...).Replace(old)
	}
	return old, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
