package injectors

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// side is one member as packets show it.
type side struct {
	name string
	// uid is who sends, or -1 if that is not told apart.
	uid   int64
	addrs []netip.Addr
	// port is 0 if nobody else has the addresses.
	port uint16
}

// cut is one member and whom it is cut off from.
type cut struct {
	member side
	// peers is empty for everybody.
	peers   []side
	in, out bool
	reject  bool
	// spare is the port of the SSH connection that makes the rules; 0 if none does.
	spare uint16
}

// rules writes the member's part of the table. n makes names unique in it.
//
// On one host the address alone does not tell who sends: a connection over
// loopback leaves from 127.0.0.1 whoever opens it, and so replies all go there. So
// the opener of a connection is known by user and destination, and replies by a
// set that holds the connections seen so, turned around. That set fills before any
// rule drops, so that connections that were open before are cut both ways with the
// first packet that either side sends. A connection is forgotten as soon as
// somebody else sends on it: ports are used again, by clients that are not cut off.
// The member's own packets never make it forgotten, not for a moment: a reply that
// is sent by another processor just then would pass.
func (c cut) rules(table string, n int) string {
	w := &ruleWriter{table: table, suffix: fmt.Sprintf("_%d", n), reject: c.reject}
	if c.member.uid < 0 && len(c.peers) == 0 {
		c.wholeHost(w)
		return w.text()
	}
	for _, v6 := range []bool{false, true} {
		w.family(v6)
		if len(only(c.member.addrs, v6)) == 0 {
			continue
		}
		w.sets()
		if c.member.uid >= 0 {
			c.byUser(w, v6)
		} else {
			c.byAddress(w, v6)
		}
	}
	return w.text()
}

// byUser writes rules for members on one host. Everything there passes the output
// hook; what comes from other hosts passes the input hook only.
func (c cut) byUser(w *ruleWriter, v6 bool) {
	own, others := "meta skuid "+fmt.Sprint(c.member.uid), "meta skuid != "+fmt.Sprint(c.member.uid)
	for _, to := range w.to(c.member, v6) {
		w.add("output", own+" "+to+" "+w.remember("self"))
		w.add("output", own+" "+to+" accept")
	}
	w.add("output", w.reply("self")+" accept")
	if len(c.peers) == 0 {
		w.add("output", others+" "+w.forget("member"))
		w.add("output", own+" "+w.remember("member"))
		for _, from := range w.from(c.member, v6) {
			w.lose("output", from, c.out)
		}
		w.lose("output", own, c.out)
		w.add("input", w.reply("self")+" accept")
		for _, to := range w.to(c.member, v6) {
			w.add("input", w.known("self")+" accept")
			w.lose("input", to, c.in)
		}
		w.lose("input", w.reply("member"), c.in)
		return
	}
	for _, to := range w.to(c.member, v6) {
		w.add("output", notPeers(c.peers)+" "+to+" "+w.forget("peer"))
	}
	for _, p := range c.peers {
		theirs := "meta skuid " + fmt.Sprint(p.uid)
		for _, to := range w.to(p, v6) {
			w.add("output", others+" "+to+" "+w.forget("member"))
			w.add("output", own+" "+to+" "+w.remember("member"))
			w.lose("output", own+" "+to, c.out)
		}
		for _, to := range w.to(c.member, v6) {
			w.add("output", theirs+" "+to+" "+w.remember("peer"))
			w.lose("output", theirs+" "+to, c.in)
		}
	}
	w.lose("output", w.reply("member"), c.in)
	w.lose("output", w.reply("peer"), c.out)
}

// notPeers matches packets that none of the peers sent.
func notPeers(peers []side) string {
	uids := make([]string, len(peers))
	for i, p := range peers {
		uids[i] = fmt.Sprint(p.uid)
	}
	slices.Sort(uids)
	return "meta skuid != { " + strings.Join(slices.Compact(uids), ", ") + " }"
}

// byAddress writes rules for a member that has its addresses to itself. On
// loopback the sender's address counts, too, or other members would be hit.
func (c cut) byAddress(w *ruleWriter, v6 bool) {
	c.spareSSH(w)
	for _, a := range only(c.member.addrs, v6) {
		for _, p := range c.peers {
			for _, b := range only(p.addrs, v6) {
				out, in := w.ip+" daddr "+b.String(), w.ip+" saddr "+b.String()
				if a.IsLoopback() || b.IsLoopback() {
					out += " " + w.ip + " saddr " + a.String()
					in += " " + w.ip + " daddr " + a.String()
				}
				w.lose("output", out, c.out)
				w.lose("input", in, c.in)
			}
		}
	}
}

// wholeHost cuts off everything but the host from itself.
func (c cut) wholeHost(w *ruleWriter) {
	c.spareSSH(w)
	w.lose("output", `oifname != "lo"`, c.out)
	w.lose("input", `iifname != "lo"`, c.in)
}

func (c cut) spareSSH(w *ruleWriter) {
	if c.spare == 0 {
		return
	}
	w.add("output", fmt.Sprintf("tcp sport %d accept", c.spare))
	w.add("input", fmt.Sprintf("tcp dport %d accept", c.spare))
}

// only returns the addresses of one family.
func only(addrs []netip.Addr, v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a.Is6() == v6 {
			out = append(out, a)
		}
	}
	return out
}

// ruleWriter writes nft(8) commands for one member.
type ruleWriter struct {
	table, suffix string
	reject        bool
	// ip is the keyword of the address family, nfproto what its types begin with.
	ip, nfproto string
	decls       strings.Builder
	lines       strings.Builder
}

func (w *ruleWriter) family(v6 bool) {
	w.ip, w.nfproto = "ip", "ipv4"
	if v6 {
		w.ip, w.nfproto = "ip6", "ipv6"
	}
}

// setSize is how many connections are remembered, for setTime after their last
// packet: longer than TCP waits between two retransmissions (120 s).
const (
	setSize = 500_000
	setTime = "10m"
)

// sets declares what connections are remembered in.
func (w *ruleWriter) sets() {
	for _, name := range []string{"self", "member", "peer"} {
		fmt.Fprintf(&w.decls, "add set inet %s %s { type inet_proto . %s_addr . inet_service . %s_addr . inet_service; size %d; flags dynamic,timeout; timeout %s; }\n",
			w.table, w.set(name), w.nfproto, w.nfproto, setSize, setTime)
	}
}

func (w *ruleWriter) set(name string) string { return name + w.suffix + "_" + w.ip }

// remember notes the packet's connection, turned around; forget takes it out.
func (w *ruleWriter) remember(set string) string { return w.note("update", set) }
func (w *ruleWriter) forget(set string) string   { return w.note("delete", set) }

func (w *ruleWriter) note(how, set string) string {
	return fmt.Sprintf("meta l4proto { tcp, udp } %[1]s @%[2]s { meta l4proto . %[3]s daddr . th dport . %[3]s saddr . th sport }", how, w.set(set), w.ip)
}

// reply matches packets of the way back of a remembered connection.
func (w *ruleWriter) reply(set string) string {
	return fmt.Sprintf("meta l4proto . %[2]s saddr . th sport . %[2]s daddr . th dport @%[1]s", w.set(set), w.ip)
}

// known matches packets of the way there of a remembered connection.
func (w *ruleWriter) known(set string) string {
	return fmt.Sprintf("meta l4proto . %[2]s daddr . th dport . %[2]s saddr . th sport @%[1]s", w.set(set), w.ip)
}

func (w *ruleWriter) to(s side, v6 bool) []string   { return w.ends(s, v6, "d") }
func (w *ruleWriter) from(s side, v6 bool) []string { return w.ends(s, v6, "s") }

func (w *ruleWriter) ends(s side, v6 bool, which string) []string {
	var out []string
	for _, a := range only(s.addrs, v6) {
		m := fmt.Sprintf("%s %saddr %s", w.ip, which, a)
		if s.port != 0 {
			m += fmt.Sprintf(" th %sport %d", which, s.port)
		}
		out = append(out, m)
	}
	return out
}

func (w *ruleWriter) add(chain, rule string) {
	fmt.Fprintf(&w.lines, "add rule inet %s %s%s %s\n", w.table, chain, w.suffix, rule)
}

// lose writes the rules that lose what matches, if it is to be lost.
func (w *ruleWriter) lose(chain, match string, lose bool) {
	switch {
	case !lose:
	case w.reject:
		w.add(chain, "meta l4proto tcp "+match+" counter reject with tcp reset")
		w.add(chain, match+" counter reject")
	default:
		w.add(chain, match+" counter drop")
	}
}

// text is the whole script: the table, the sets, the chains with their rules.
// The chains come before those of other tables (nft(8), priority raw): what a
// firewall accepts is lost all the same.
func (w *ruleWriter) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "add table inet %s\n%s", w.table, w.decls.String())
	for _, hook := range []string{"output", "input"} {
		fmt.Fprintf(&b, "add chain inet %s %s%s { type filter hook %s priority -300; policy accept; }\n", w.table, hook, w.suffix, hook)
	}
	return b.String() + w.lines.String()
}
