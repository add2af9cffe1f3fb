package mysql

import (
	"context"
	"fmt"
	"strconv"

	"firedrill/drills/topology"
)

type adapter struct {
	cfg Config
	c   *topology.Component
}

func newAdapter(cfg Config, c *topology.Component) (topology.Adapter, error) {
	for name := range cfg.Replication.Addresses {
		if _, err := c.Member(name); err != nil {
			return nil, fmt.Errorf("with.replication.addresses: %w", err)
		}
	}
	for _, m := range c.Members {
		if _, err := tlsConfig(cfg, m.Address()); err != nil {
			return nil, fmt.Errorf("member %s: %w", m.Name(), err)
		}
	}
	return &adapter{cfg: cfg, c: c}, nil
}

// Discover asks all members at once, each for at most 1.5 seconds.
func (a *adapter) Discover(ctx context.Context) (topology.State, error) {
	k, err := OpenCluster(a.c)
	if err != nil {
		return topology.State{}, err
	}
	defer k.Close()
	return a.describe(ctx, k, k.Look(ctx)), nil
}

// describe turns a picture into the topology's terms.
func (a *adapter) describe(ctx context.Context, k *Cluster, p Picture) topology.State {
	var st topology.State
	for _, s := range p {
		m := topology.MemberState{Member: s.Name()}
		if !s.Up() {
			m.Role, m.Problem = topology.Down, Problem(a.cfg, s.Server.Address(), s.Err)
			st.Members = append(st.Members, m)
			continue
		}
		m.Role = k.role(p, s)
		m.Facts = facts(s.State)
		if src := k.Source(p, s); src != nil {
			m.Facts["source_member"] = src.Name()
		}
		m.Problem = a.ailments(ctx, k, p, s, m.Role)
		st.Members = append(st.Members, m)
	}
	return st
}

func (k *Cluster) role(p Picture, s Seen) topology.Role {
	switch {
	case k.TakesWrites(p, s):
		return topology.Primary
	case s.State.Link.Running():
		return topology.Replica
	}
	return topology.Detached
}

// facts are what is worth recording of a server.
func facts(st State) map[string]string {
	f := map[string]string{
		"version": st.Version, "flavour": st.Flavour, "server_id": strconv.FormatUint(uint64(st.ServerID), 10),
		"read_only": onOff(st.ReadOnly), "gtid": st.Executed.String(), "uptime": st.Uptime.String(),
		"semi_sync_source": onOff(st.SemiSync.Source), "semi_sync_replica": onOff(st.SemiSync.Replica),
	}
	if st.Flavour == MySQL {
		f["server_uuid"], f["super_read_only"] = st.UUID, onOff(st.SuperReadOnly)
	}
	if st.SemiSync.Source {
		f["semi_sync_active"], f["semi_sync_clients"] = onOff(st.SemiSync.Active), strconv.Itoa(st.SemiSync.Clients)
	}
	l := st.Link
	if l == nil {
		return f
	}
	f["source"], f["receiver"], f["applier"] = l.Source, "stopped", "stopped"
	switch {
	case l.Connected:
		f["receiver"] = "running"
	case l.Receiver:
		f["receiver"] = "connecting"
	}
	if l.Applier {
		f["applier"] = "running"
	}
	f["gtid_received"] = l.Received.String()
	f["lag"] = "unknown"
	if l.Lag != nil {
		f["lag"] = l.Lag.String()
	}
	if l.Delay > 0 {
		f["delay"] = l.Delay.String()
	}
	return f
}

func onOff(b bool) string {
	if b {
		return "ON"
	}
	return "OFF"
}
