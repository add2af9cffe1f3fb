package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/topology/host"
)

// place is a network namespace of a host, where rules are made.
type place struct {
	Host      host.Spec `json:"host,omitzero"`
	Namespace string    `json:"namespace,omitempty"`
}

func (p place) name() string {
	n := "this host"
	if !p.Host.Local() {
		n = p.Host.SSH
	}
	if p.Namespace != "" {
		n += " in " + p.Namespace
	}
	return n
}

// run runs a program there.
func (p place) run(ctx context.Context, argv []string, stdin string) (host.Output, error) {
	h, err := p.Host.Open()
	if err != nil {
		return host.Output{}, err
	}
	if p.Namespace != "" {
		argv = append([]string{"nsenter", "--net=" + p.Namespace, "--"}, argv...)
	}
	return h.Run(ctx, argv, stdin)
}

// nft runs nft(8) there.
func (p place) nft(ctx context.Context, script string, args ...string) error {
	_, err := p.run(ctx, append([]string{"nft"}, args...), script)
	return err
}

// applyLimit bounds an nft run that is not to be interrupted.
const applyLimit = 20 * time.Second

// apply commits a script: the kernel takes all of it or nothing.
func (p place) apply(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyLimit)
	defer cancel()
	return p.nft(ctx, script, "-f", "-")
}

// late is how long an nft whose runner was killed may still be committing: it is
// killed with its runner, unless the kernel is at it already.
const late = 100 * time.Millisecond

// turnsUp tells whether a table is there, or comes up within a moment.
func (p place) turnsUp(ctx context.Context, table string) (bool, error) {
	there, err := p.has(ctx, table)
	if err != nil || there {
		return there, err
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(late):
	}
	return p.has(ctx, table)
}

// remove deletes a table if it is there, and makes sure that it is gone.
func (p place) remove(ctx context.Context, table string) error {
	there, err := p.turnsUp(ctx, table)
	if err != nil {
		return fmt.Errorf("look for table inet %s on %s: %w", table, p.name(), err)
	}
	if !there {
		return nil
	}
	deleting := p.apply(ctx, begin(table))
	there, err = p.has(ctx, table)
	if err == nil && !there {
		return nil
	}
	if err == nil {
		err = errors.New("it is still there")
	}
	return fmt.Errorf("delete table inet %s on %s: %w", table, p.name(), errors.Join(deleting, err))
}

// has tells whether a table is there.
func (p place) has(ctx context.Context, table string) (bool, error) {
	if p.Namespace != "" {
		if _, err := (place{Host: p.Host}).run(ctx, []string{"test", "-e", p.Namespace}, ""); host.Code(err) == 1 {
			return false, nil // no namespace, no rules
		}
	}
	out, err := p.run(ctx, []string{"nft", "-j", "list", "tables"}, "")
	if err != nil {
		return false, err
	}
	var reply struct {
		NFTables []struct {
			Table struct{ Family, Name string }
		}
	}
	if err := json.Unmarshal([]byte(out.Stdout), &reply); err != nil {
		return false, fmt.Errorf("nft: list tables: %w", err)
	}
	return slices.ContainsFunc(reply.NFTables, func(e struct {
		Table struct{ Family, Name string }
	},
	) bool {
		return e.Table.Family == "inet" && e.Table.Name == table
	}), nil
}

// begin is a script that deletes a table whether or not it is there: nft before
// 1.0.7 has no command for that.
func begin(table string) string {
	return strings.ReplaceAll("add table inet TABLE\ndelete table inet TABLE\n", "TABLE", table)
}
