package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
	"firedrill/drills/topology/host"
)

// SystemdSpec controls a server as a unit of systemd.
type SystemdSpec struct {
	// Unit is the unit's name, such as "mariadb.service".
	Unit string `json:"unit"`
	// Host is where systemd runs.
	Host host.Spec `json:"host,omitzero"`
}

type systemd struct {
	unit   string
	member topology.MemberSpec
	host   host.Host
	local  bool
}

func newSystemd(s SystemdSpec) (topology.NewControl, error) {
	if s.Unit == "" || strings.HasPrefix(s.Unit, "-") {
		return nil, fmt.Errorf("unit: %q: want the name of a unit, such as mariadb.service", s.Unit)
	}
	return func(m topology.MemberSpec) (topology.Control, error) {
		h, err := s.Host.For(m.Name, m.Address).Open()
		if err != nil {
			return nil, err
		}
		return &systemd{unit: s.Unit, member: m, host: h, local: s.Host.Local()}, nil
	}, nil
}

// Status asks "systemctl show". A unit that systemd does not know is an error.
func (s *systemd) Status(ctx context.Context) (topology.Status, error) {
	out, err := s.host.Run(ctx, []string{
		"systemctl", "show", "--property=LoadState,ActiveState,SubState,MainPID,ControlGroup", "--", s.unit,
	}, "")
	if err != nil {
		return topology.Status{}, fmt.Errorf("ask for unit %s of member %s: %w", s.unit, s.member.Name, err)
	}
	is := map[string]string{}
	for line := range strings.Lines(out.Stdout) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		is[k] = v
	}
	st := topology.Status{Detail: fmt.Sprintf("unit %s is %s (%s)", s.unit, is["ActiveState"], is["SubState"])}
	switch {
	case is["LoadState"] != "loaded":
		return st, fmt.Errorf("ask for unit %s of member %s on %s: unit is %q, want loaded", s.unit, s.member.Name, s.host.Name(), is["LoadState"])
	case is["ActiveState"] == "inactive" || is["ActiveState"] == "failed":
		return st, nil
	}
	st.Running = true
	if s.local {
		st.PIDs = unitPIDs(is["MainPID"], is["ControlGroup"])
	}
	return st, nil
}

// unitPIDs returns the processes of a unit, the main one first: those of its
// control group, or where that cannot be read the main one and its descendants.
func unitPIDs(mainPID, group string) []int {
	pid, err := strconv.Atoi(mainPID)
	if err != nil || pid <= 0 {
		return nil
	}
	pids := []int{pid}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		b, err := os.ReadFile(filepath.Join(root, group, "cgroup.procs"))
		if group == "" || group == "/" || err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil && n != pid {
				pids = append(pids, n)
			}
		}
		return pids
	}
	all, err := proc.All()
	main, err2 := proc.Read(pid)
	if errors.Join(err, err2) != nil {
		return pids
	}
	for _, q := range proc.Grow(all, []proc.Process{main})[1:] {
		pids = append(pids, q.PID)
	}
	return pids
}

// Start starts the unit and waits until systemd says that it is active.
func (s *systemd) Start(ctx context.Context) error { return s.turn(ctx, "start", true) }

// Stop stops the unit; systemd does not restart it by itself.
func (s *systemd) Stop(ctx context.Context) error { return s.turn(ctx, "stop", false) }

func (s *systemd) turn(ctx context.Context, verb string, running bool) error {
	if _, err := s.host.Run(ctx, []string{"systemctl", verb, "--", s.unit}, ""); err != nil {
		return fmt.Errorf("%s unit %s of member %s: %w", verb, s.unit, s.member.Name, err)
	}
	return settled(ctx, s, verb, s.member.Name, running)
}

// settled waits until the control itself says that the member runs, or does not.
func settled(ctx context.Context, c topology.Control, verb, member string, running bool) error {
	return poll.Until(ctx, 10*pollEvery, func(ctx context.Context) error {
		st, err := c.Status(ctx)
		if err != nil {
			return poll.Stop(err)
		}
		if st.Running != running {
			return fmt.Errorf("%s member %s: %s", verb, member, st.Detail)
		}
		return nil
	})
}
