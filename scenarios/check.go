package scenarios

import (
	"net"
	"strconv"
	"time"

	"firedrill/drills/spec"
)

// checkScenario notes what is wrong between the parts of a scenario: references
// to what is not there, and values that contradict each other. It looks at the
// document rather than at the decoded File, so that it also speaks when something
// else is wrong.
func (d *document) checkScenario() {
	s := d.root.get("spec")
	probes := d.unique(s.get("probes"))
	d.unique(s.get("faults"))
	d.unique(s.get("remediation"))
	for _, p := range s.get("probes").list() {
		d.checkProbe(p, probes)
	}
	for _, c := range s.get("stopConditions").list() {
		d.refers(c.get("probe"), "probe", probes)
		d.positive(c.get("outage"))
	}
	for _, f := range s.get("faults").list() {
		d.checkTarget(f.get("peer"))
		d.checkTarget(f.get("target"))
	}
	for _, r := range s.get("remediation").list() {
		d.checkTarget(r.get("target"))
	}
	d.positive(s.get("baseline"))
	d.checkLimits(s)
	d.checkMeasured(s)
}

// unique notes names that are there twice and returns all names.
func (d *document) unique(list *node) []string {
	lines := map[string]int{}
	var names []string
	for _, item := range list.list() {
		n := item.get("name")
		name := n.str()
		if name == "" {
			continue
		}
		if line, dup := lines[name]; dup {
			d.problem(n, "duplicate name %q: it is taken on line %d; give this one another", name, line)
			continue
		}
		lines[name] = n.line
		names = append(names, name)
	}
	return names
}

// refers notes a name that is none of known.
func (d *document) refers(n *node, noun string, known []string) {
	name := n.str()
	for _, k := range known {
		if k == name {
			return
		}
	}
	if name != "" {
		d.problem(n, "there is no %s %q: %s", noun, name, suggest(name, known))
	}
}

func (d *document) checkProbe(p *node, probes []string) {
	d.refers(p.get("ledger"), "probe", probes)
	if l := p.get("ledger"); l.str() != "" && l.str() == p.get("name").str() {
		d.problem(l, "a probe cannot read its own ledger: name the probe that writes")
	}
	d.positive(p.get("every"))
	d.positive(p.get("timeout"))
	d.checkAddress(p.get("address"))
	t := p.get("target")
	d.checkTarget(t)
	for _, chosen := range []string{"role", "site", "member"} {
		if r := p.get("route"); r != nil && t.get(chosen) != nil {
			d.problem(r, "route and target.%s exclude each other: a probe goes through a route, or to a member", chosen)
			break
		}
	}
	if a := p.get("address"); a != nil && (t != nil || p.get("route") != nil) {
		d.problem(a, "address is for what no component covers: leave it out, or target and route")
	}
}

// checkTarget notes choices that exclude each other.
func (d *document) checkTarget(t *node) {
	if t.get("member") == nil {
		return
	}
	for _, other := range []string{"role", "site"} {
		if n := t.get(other); n != nil {
			d.problem(n, "member already names the one: leave %s out, or member", other)
		}
	}
	if n := t.get("count"); n != nil && n.text != "0" && n.text != "1" {
		d.problem(n, "member names one: leave count out, or member")
	}
}

// checkAddress notes what is not host:port.
func (d *document) checkAddress(n *node) {
	if n.str() == "" {
		return
	}
	host, port, err := net.SplitHostPort(n.str())
	if i, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || i == 0 || host == "" {
		d.problem(n, "%q is not an address: want host:port, such as 10.0.0.7:3306 or [fd00::7]:3306", n.str())
	}
}

// positive notes a duration of nothing.
func (d *document) positive(n *node) {
	if v, ok := n.duration(); ok && v == 0 {
		d.problem(n, "%s is too short: want more than 0s", n.str())
	}
}

// duration is a scalar's duration, if it is one.
func (n *node) duration() (time.Duration, bool) {
	v, err := time.ParseDuration(n.str())
	return v, err == nil && v >= 0
}

// durationOr is the same with a default for one that is missing or wrong.
func (n *node) durationOr(def spec.Duration) time.Duration {
	if v, ok := n.duration(); ok {
		return v
	}
	return def.Std()
}
