package scenarios

import "strconv"

// checkLimits notes what can never happen within the limits.
func (d *document) checkLimits(s *node) {
	limits := s.get("limits")
	def := defaultSpec().Limits
	longest := limits.get("duration").durationOr(def.Duration)
	d.positive(limits.get("duration"))
	members := def.Members
	if n := limits.get("members"); n != nil {
		members, _ = strconv.Atoi(n.text)
	}
	for _, f := range s.get("faults").list() {
		count := f.get("target", "count")
		if count != nil && members > 0 {
			if n, err := strconv.Atoi(count.text); err == nil && n > members {
				d.problem(count, "%d members are more than limits.members allows (%d): lower one or raise the other", n, members)
			}
		}
		for _, key := range []string{"at", "for"} {
			if v, ok := f.get(key).duration(); ok && v >= longest {
				d.problem(f.get(key), "%s is not within limits.duration (%s)", v, longest)
			}
		}
	}
	after := s.get("healAfter")
	if v, ok := after.duration(); ok && v >= longest && s.get("remediation") != nil {
		d.problem(after, "the remediation would never begin: healAfter is not within limits.duration (%s)", longest)
	}
}

// checkMeasured notes a drill that could prove nothing.
func (d *document) checkMeasured(s *node) {
	if faults := s.get("faults"); len(faults.list()) > 0 && all(faults, "prelude") {
		d.problem(faults, "all faults are preludes: at least one must be what recovery is measured from")
	}
	if probes := s.get("probes"); len(probes.list()) > 0 && all(probes, "inform") {
		d.problem(probes, "all probes are marked inform: at least one must decide recovery")
	}
}

// all tells whether every item of a list has the flag set.
func all(list *node, flag string) bool {
	for _, item := range list.list() {
		if n := item.get(flag); n == nil || n.value != true {
			return false
		}
	}
	return true
}
