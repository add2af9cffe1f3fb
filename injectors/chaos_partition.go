package injectors

import (
	"context"
	"net"
	"net/netip"
)

// partition tells whether the fault cuts connections.
func (m chaosManifest) partition() bool { return m.kind == "NetworkChaos" && m.action() == "partition" }

// rejects tells whether who is cut off is told so.
func (m chaosManifest) rejects() bool { return m.spec["partitionBehavior"] == "reject" }

// cutsOff tells whether all of the pods are cut off from where this program stands. No
// matter in which direction packets are lost: no connection comes about.
func (m chaosManifest) cutsOff(pods []livePod) bool {
	return m.partition() && m.hitsRunner(pods)
}

// hitsRunner tells whether what the fault does to the network of the pods, it does to
// connections of this program's to each of them.
func (m chaosManifest) hitsRunner(pods []livePod) bool {
	if _, device := m.spec["device"]; device {
		return false
	}
	_, target := m.spec["target"]
	outside, _ := m.spec["externalTargets"].([]any)
	for _, p := range pods {
		if p.Path == nil {
			return false
		}
		if everybody := !target && len(outside) == 0; !everybody && !includes(outside, sourceTo(p.Path.Address)) {
			return false
		}
	}
	return len(pods) > 0
}

// sourceTo is the address that connections to another one come from; not valid if that
// is not known.
func sourceTo(address string) netip.Addr {
	c, err := new(net.Dialer).DialContext(context.Background(), "udp", address) // sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	a, _ := netip.ParseAddrPort(c.LocalAddr().String())
	return a.Addr().Unmap()
}

// includes tells whether one of the addresses and networks has an address.
func includes(list []any, a netip.Addr) bool {
	for _, v := range list {
		text, _ := v.(string)
		if ip, err := netip.ParseAddr(text); err == nil && ip.Unmap() == a {
			return true
		}
		if n, err := netip.ParsePrefix(text); err == nil && a.IsValid() && n.Contains(a) {
			return true
		}
	}
	return false
}
