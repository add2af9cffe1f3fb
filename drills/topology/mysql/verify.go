package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/topology"
)

// verify waits until the re-admitted members replicate, and looks afresh.
func (r *restoring) verify(ctx context.Context, primary *Node) error {
	within, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	r.settleDown(within, primary)
	p := r.k.Look(ctx)
	r.out.State = r.describe(ctx, r.k, p)
	var wrong []string
	if open := r.k.Writable(p); len(open) != 1 || open[0].Node != primary {
		wrong = append(wrong, fmt.Sprintf("%d members take writes, want %s alone", len(open), primary.Name()))
	}
	for _, s := range p {
		if _, out := r.out.KeptOut[s.Name()]; out && s.Up() || s.Node == primary {
			continue
		}
		if why := r.k.notFollowing(p, s, primary); why != "" && !r.wasDown(s.Name()) {
			wrong = append(wrong, s.Name()+": "+why)
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// settleDown polls until every member that was let in follows, or a receiver
// gives up.
func (r *restoring) settleDown(ctx context.Context, primary *Node) {
	for {
		waiting := false
		for _, s := range r.k.Look(ctx, r.k.Others(primary)...) {
			if _, out := r.out.KeptOut[s.Name()]; out {
				continue
			}
			waiting = waiting || !s.Up() || s.State.Link.Running() && !s.State.Link.Whole()
		}
		if !waiting || pause(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}

func (k *Cluster) notFollowing(p Picture, s Seen, primary *Node) string {
	switch {
	case !s.Up():
		return "it does not answer: " + Problem(k.Config, s.Server.Address(), s.Err)
	case s.State.Link == nil:
		return "it does not replicate"
	case k.Source(p, s) != primary:
		return fmt.Sprintf("it follows %s, want %s", s.State.Link.Source, primary.Name())
	case !s.State.Link.Whole():
		return "replication does not run" + because(strings.TrimSpace(s.State.Link.ReceiverError+" "+s.State.Link.ApplierError), "")
	}
	return ""
}

// wasDown tells whether a member did not answer before the drill either.
func (r *restoring) wasDown(name string) bool {
	return slices.Contains(r.keep.With(topology.Down), name)
}
