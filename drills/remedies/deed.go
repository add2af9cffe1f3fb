package remedies

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// deed announces a step, does it, and records it with what do says of it.
func deed(log drills.RemedyLog, s topology.Step, u *drills.Undo, do func() (string, error)) error {
	if err := log.Intend(s.Name, u); err != nil {
		return fmt.Errorf("journal step %s: %w", s.Name, err)
	}
	var err error
	if s.Detail, err = do(); err != nil {
		s.Err = err.Error()
	}
	log.Step(s)
	return err
}

// undoWith is an undo with what Revert needs.
func undoWith(says string, data any) (*drills.Undo, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode undo: %w", err)
	}
	return &drills.Undo{Says: says, Data: b}, nil
}

// readUndo reads what undoWith wrote.
func readUndo(u drills.Undo, data any) error {
	if err := json.Unmarshal(u.Data, data); err != nil {
		return fmt.Errorf("read undo %q: %w", u.Says, err)
	}
	return nil
}

// placed replaces the placeholders of exec, and {next}: the member that is next in
// order after the target or, if all members are the target, after the primary
// that the component had before the drill.
func placed(t drills.Target, texts ...string) ([]string, error) {
	out := fill(texts, t)
	for i, text := range out {
		if !strings.Contains(text, "{next}") {
			continue
		}
		name, err := next(t)
		if err != nil {
			return nil, fmt.Errorf("{next}: %w", err)
		}
		out[i] = strings.ReplaceAll(text, "{next}", name)
	}
	return out, nil
}

// next goes round in the order of the topology file and passes over members that
// were down before the drill.
func next(t drills.Target) (string, error) {
	avoid := map[string]bool{}
	for _, m := range t.Members {
		avoid[m.Name()] = true
	}
	all := t.Component.Members
	if len(t.Members) == len(all) {
		clear(avoid)
		for _, name := range t.State.With(topology.Primary) {
			avoid[name] = true
		}
	}
	if len(avoid) == 0 {
		return "", errors.New("component " + t.Component.Name() + " has no primary: name the member")
	}
	last := 0
	for i, m := range all {
		if avoid[m.Name()] {
			last = i
		}
	}
	for _, name := range t.State.With(topology.Down) {
		avoid[name] = true
	}
	for i := range all {
		if name := all[(last+1+i)%len(all)].Name(); !avoid[name] {
			return name, nil
		}
	}
	return "", errors.New("component " + t.Component.Name() + " has no member left beside the target")
}
