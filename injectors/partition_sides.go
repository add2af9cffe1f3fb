package injectors

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/proc"
)

// cut finds out how one member's packets and those of its peers are told apart.
func (f *networkPartition) cut(ctx context.Context, t drills.Target, m *topology.Member) (cut, error) {
	c := cut{
		in: f.spec.Direction != "out", out: f.spec.Direction != "in", reject: f.spec.Mode == "reject",
	}
	byUser := f.byUser(m)
	var err error
	if c.spare, err = f.sshPort(m); err != nil {
		return c, err
	}
	if c.member, err = f.side(ctx, t, m, byUser); err != nil {
		return c, err
	}
	if f.spec.From == "everybody" {
		if !byUser && f.spec.Host.Local() && f.spec.Namespace == "" {
			return c, fmt.Errorf("member %s: cutting it off from everybody by address would cut off the runner's own host: give the member a user in the topology, or the fault a host or namespace", m.Name())
		}
		return c, nil
	}
	for _, o := range t.Others {
		p, err := f.side(ctx, t, o, byUser)
		if err != nil {
			return c, err
		}
		if byUser && p.uid == c.member.uid {
			return c, fmt.Errorf("members %s and %s run as the same user %d: nothing tells their packets apart", m.Name(), o.Name(), p.uid)
		}
		c.peers = append(c.peers, p)
	}
	if len(c.peers) == 0 {
		return c, fmt.Errorf("member %s has no peers to be cut off from: name a peer in the fault, or set from to everybody", m.Name())
	}
	return c, nil
}

func (f *networkPartition) sshPort(m *topology.Member) (uint16, error) {
	if f.spec.Host.Local() {
		return 0, nil
	}
	h := f.spec.Host.For(m.Name(), m.Address()).SSH
	_, port, err := net.SplitHostPort(h)
	if err != nil {
		return 22, nil //nolint:nilerr // no port is given
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("host: port of %s: %w", h, err)
	}
	return uint16(n), nil
}

// side finds out one member's user and addresses.
func (f *networkPartition) side(ctx context.Context, t drills.Target, m *topology.Member, byUser bool) (side, error) {
	s := side{name: m.Name(), uid: -1}
	h, port, err := net.SplitHostPort(m.Address())
	if err != nil {
		return s, fmt.Errorf("member %s: address %q: %w", m.Name(), m.Address(), err)
	}
	s.addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", h)
	if err != nil {
		return s, fmt.Errorf("member %s: address %q: %w", m.Name(), m.Address(), err)
	}
	for i, a := range s.addrs {
		s.addrs[i] = a.Unmap().WithZone("")
	}
	if sharesAddress(t, m, h) || s.addrs[0] == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || s.addrs[0] == netip.IPv6Loopback() {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return s, fmt.Errorf("member %s: port of %q: %w", m.Name(), m.Address(), err)
		}
		s.port = uint16(n)
	}
	if !byUser {
		return s, nil
	}
	return s, s.identify(m)
}

// identify finds the user that the member's packets are known by.
func (s *side) identify(m *topology.Member) error {
	if m.Spec.User == "" {
		return fmt.Errorf("member %s has no user: without one nothing tells its packets from others on this host; set it in the topology", m.Name())
	}
	u, err := proc.LookupUser(m.Spec.User)
	if err != nil {
		return fmt.Errorf("member %s: %w", m.Name(), err)
	}
	if u.UID == 0 {
		return fmt.Errorf("member %s runs as root: the runner's own packets would be taken for its; give it a user of its own", m.Name())
	}
	s.uid = int64(u.UID)
	return nil
}

// sharesAddress tells whether another member has the same host in its address.
func sharesAddress(t drills.Target, m *topology.Member, h string) bool {
	known := append(append([]*topology.Member{}, t.Members...), t.Others...)
	if t.Component != nil {
		known = append(known, t.Component.Members...)
	}
	for _, o := range known {
		if other, _, err := net.SplitHostPort(o.Address()); err == nil && other == h && o.Address() != m.Address() {
			return true
		}
	}
	return false
}
