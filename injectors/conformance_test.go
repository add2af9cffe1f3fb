package injectors_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
)

func TestProcessKillConforms(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.3.1:7001", "65521", "-children", "2")
	start(t, m)
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "process-kill", Event: true, With: `{}`,
		Target: target([]topology.MemberSpec{m}, nil), Worker: &injectortest.Job{Members: []topology.MemberSpec{m}},
		Healthy: whole(5, m), Faulted: down(m), Leftovers: strays(5, m), Die: die(m),
	})
}

// The server keeps forking, and some of its children lose their parents at once.
func TestProcessKillOfAForkingServerConforms(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.3.1:7002", "65522", "-churn")
	start(t, m)
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "process-kill", Event: true, With: `{"signal":"KILL","scope":"tree"}`,
		Target:  target([]topology.MemberSpec{m}, nil),
		Faulted: down(m), Healthy: func(ctx context.Context) error {
			return eventually(ctx, func(context.Context) error { return hello(m.Address, 5*time.Second) })
		},
		Leftovers: tables,
	})
}

// The children of a main process that is killed alone live on, until Revert.
func TestProcessKillOfTheMainProcessConforms(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.3.1:7003", "65523", "-children", "2")
	start(t, m)
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "process-kill", Event: true, With: `{"scope":"main"}`,
		Target: target([]topology.MemberSpec{m}, nil), Worker: &injectortest.Job{Members: []topology.MemberSpec{m}},
		Healthy: whole(5, m), Leftovers: strays(5, m), Die: die(m),
		Faulted: func(context.Context) error {
			ps, err := owned(m.User)
			if err == nil && len(ps) != 4 {
				err = fmt.Errorf("%d processes are left, want the 4 below the main one", len(ps))
			}
			return err
		},
	})
}

func TestProcessPauseConforms(t *testing.T) {
	controltest.Real(t)
	a := controltest.Member(t, "a", "127.0.3.1:7004", "65524", "-children", "1")
	b := controltest.Member(t, "b", "127.0.3.1:7005", "65525", "-children", "1")
	start(t, a, b)
	both := []topology.MemberSpec{a, b}
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "process-pause", With: `{}`,
		Target: target(both, nil), Worker: &injectortest.Job{Members: both},
		Healthy: whole(3, a, b), Leftovers: strays(3, a, b), Die: die(a), Heal: revive(a),
		Faulted: func(context.Context) error { return errors.Join(frozen(a), frozen(b)) },
	})
}

// frozen returns nil if all processes of the member's user are stopped, and its
// address accepts a connection and says nothing.
func frozen(m topology.MemberSpec) error {
	ps, err := owned(m.User)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if !p.Stopped() {
			return fmt.Errorf("process %d is in state %c", p.PID, p.State)
		}
	}
	if err := greets(m.Address, 2*time.Second, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: want no answer on an open connection, got %w", m.Address, err)
	}
	return nil
}

func TestProcessStopConforms(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.3.1:7006", "65526", "-children", "1", "-slow-stop", "15ms")
	start(t, m)
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "process-stop", Event: true, With: `{}`,
		Target: target([]topology.MemberSpec{m}, nil), Worker: &injectortest.Job{Members: []topology.MemberSpec{m}},
		Healthy: whole(3, m), Faulted: down(m), Leftovers: strays(3, m), Die: die(m), Share: 0.2,
	})
}

// See controltest.FakeSystemd for what is real here and what is not.
func TestSystemdStopConforms(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.3.1:7007", "65527", "-children", "1")
	start(t, m)
	controltest.FakeSystemd(t, map[string]topology.MemberSpec{"a.service": m})
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "systemd-stop", Event: true, With: `{"unit":"{member}.service"}`,
		Target: target([]topology.MemberSpec{m}, nil), Worker: &injectortest.Job{Members: []topology.MemberSpec{m}},
		Healthy: whole(3, m), Faulted: down(m), Leftovers: strays(3, m), Die: die(m), Share: 0.2,
	})
}

func TestExecConforms(t *testing.T) {
	controltest.Real(t)
	dir := t.TempDir()
	m := topology.MemberSpec{Name: "a", Address: "127.0.3.1:1"}
	file := filepath.Join(dir, "full-disk-a")
	there := func(want bool) func(context.Context) error {
		return func(context.Context) error {
			if _, err := os.Stat(file); (err == nil) != want {
				return fmt.Errorf("file is there: %v, want %v", !want, want)
			}
			return nil
		}
	}
	name := filepath.Join(dir, "full-disk-{member}")
	with := controltest.JSON(t, map[string]any{
		"inject":  []string{"sh", "-c", `sleep 0.005; echo half >"$0.part"; sleep 0.005; mv "$0.part" "$0"`, name},
		"revert":  []string{"sh", "-c", `rm -f "$0" "$0.part"`, name},
		"confirm": []string{"test", "-e", name},
	})
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "exec", With: string(with),
		Target: target([]topology.MemberSpec{m}, nil), Worker: &injectortest.Job{Members: []topology.MemberSpec{m}},
		Healthy: there(false), Faulted: there(true),
		Leftovers: func() ([]string, error) { return filepath.Glob(filepath.Join(dir, "*")) },
	})
}
