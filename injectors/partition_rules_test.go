package injectors

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func addr(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }

// lines returns the rules of a script, without what all begin with.
func lines(script string) []string {
	var out []string
	for line := range strings.Lines(script) {
		if rule, ok := strings.CutPrefix(strings.TrimSpace(line), "add rule inet t "); ok {
			out = append(out, rule)
		}
	}
	return out
}

func TestRulesByAddress(t *testing.T) {
	c := cut{
		member: side{uid: -1, addrs: addr("10.0.0.1")}, peers: []side{{uid: -1, addrs: addr("10.0.0.2")}},
		in: true, out: true, spare: 2222,
	}
	assert.Equal(t, []string{
		"output_0 tcp sport 2222 accept", "input_0 tcp dport 2222 accept",
		"output_0 ip daddr 10.0.0.2 counter drop", "input_0 ip saddr 10.0.0.2 counter drop",
	}, lines(c.rules("t", 0)))

	c.out, c.spare, c.reject = false, 0, true
	assert.Equal(t, []string{
		"input_0 meta l4proto tcp ip saddr 10.0.0.2 counter reject with tcp reset", "input_0 ip saddr 10.0.0.2 counter reject",
	}, lines(c.rules("t", 0)))
}

func TestRulesByAddressOnLoopbackNameBothEnds(t *testing.T) {
	c := cut{
		member: side{uid: -1, addrs: addr("127.0.0.61")}, peers: []side{{uid: -1, addrs: addr("127.0.0.62")}},
		in: true, out: true,
	}
	assert.Equal(t, []string{
		"output_0 ip daddr 127.0.0.62 ip saddr 127.0.0.61 counter drop",
		"input_0 ip saddr 127.0.0.62 ip daddr 127.0.0.61 counter drop",
	}, lines(c.rules("t", 0)))
}

func TestRulesForIPv6(t *testing.T) {
	c := cut{member: side{uid: 990, addrs: addr("fd00::1")}, in: true, out: true}
	text := c.rules("t", 3)
	assert.Contains(t, text, "add set inet t self_3_ip6 { type inet_proto . ipv6_addr . inet_service . ipv6_addr . inet_service;")
	assert.Contains(t, text, "meta skuid 990 ip6 daddr fd00::1 accept")
	assert.Contains(t, text, "input_3 ip6 daddr fd00::1 counter drop")
	assert.NotContains(t, text, "ip daddr")
}

func TestRulesOfAWholeHostSpareTheHostItself(t *testing.T) {
	c := cut{member: side{uid: -1, addrs: addr("10.0.0.1")}, in: true, out: true}
	assert.Equal(t, []string{
		`output_0 oifname != "lo" counter drop`,
		`input_0 iifname != "lo" counter drop`,
	}, lines(c.rules("t", 0)))
}
