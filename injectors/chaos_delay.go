package injectors

import (
	"context"
	"fmt"
	"time"

	"firedrill/drills/topology/control/poll"
)

// chaosTries is how often it is tried how late connections are: one that is late by
// chance is no witness.
const chaosTries = 3

// harmless tells whether pods go on serving in spite of the fault: late, with less of
// the processor, or by a wrong clock. Of all others it is counted how many are left.
func (m chaosManifest) harmless() bool {
	has := func(fields ...string) bool {
		for _, f := range fields {
			if _, ok := m.spec[f]; ok {
				return true
			}
		}
		return false
	}
	switch m.kind {
	case "TimeChaos":
		return true
	case "StressChaos":
		stressors, _ := m.spec["stressors"].(map[string]any)
		_, memory := stressors["memory"]
		return !memory && !has("stressngStressors")
	case "NetworkChaos":
		return m.action() == "delay" && !has("loss", "duplicate", "corrupt")
	case "IOChaos":
		return m.action() == "latency"
	case "HTTPChaos":
		return has("delay") && !has("abort", "replace", "patch")
	}
	return false
}

// delay is by how much longer connections to the pods take at least; 0 if they do not.
func (m chaosManifest) delay() time.Duration {
	if m.kind != "NetworkChaos" || m.action() != "delay" {
		return 0
	}
	d, _ := m.spec["delay"].(map[string]any)
	length := func(field string) time.Duration {
		text, _ := d[field].(string)
		l, _ := time.ParseDuration(text) // what is no length of time, Chaos Mesh refuses
		return l
	}
	return max(0, length("latency")-length("jitter"))
}

// delays is the same for connections of this program's to each of the pods; 0 if not
// all of them are late.
func (m chaosManifest) delays(pods []livePod) time.Duration {
	if d := m.delay(); d > 0 && m.hitsRunner(pods) {
		return d
	}
	return 0
}

// confirmLate sees that connections take longer than before, by half of what they
// should at least: other things vary as well.
func (o *chaosObject) confirmLate(ctx context.Context) (string, error) {
	least := o.Late.Std() / 2
	err := atOnce(o.Pods, func(p chaosPod) error {
		return poll.Until(ctx, chaosEvery, func(ctx context.Context) error { return p.Path.late(ctx, least) })
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("connections from the runner take longer than before, by more than %s: to %s", least, chaosNames(o.Pods)), nil
}

// late returns nil if the connection takes longer than before by more than that, each
// time that it is tried.
func (p path) late(ctx context.Context, than time.Duration) error {
	for range chaosTries {
		begin := time.Now()
		// One that does not come about in much more time is late as well.
		err := p.try(ctx, p.Took.Std()+4*than)
		took := time.Since(begin)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case took-p.Took.Std() <= than && err != nil:
			return err
		case took-p.Took.Std() <= than:
			return fmt.Errorf("%s connects to %s at %s in %s, before the fault in %s: it is not late", p.From, p.To, p.Address, took, p.Took)
		}
	}
	return nil
}
