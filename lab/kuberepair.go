package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// repair starts what does not run, lets go on what is stopped (SIGSTOP), removes
// what Chaos Mesh was told to do, and makes objects what they are to be: an
// interrupted drill may have left any of these.
func (k *kubernetes) repair(ctx context.Context) error {
	for _, p := range k.processes() {
		pid := p.pid(ctx)
		if pid == 0 {
			k.say("%s was not running: starting it", p.name)
			continue
		}
		if q, err := proc.Read(pid); err == nil && q.Stopped() {
			k.say("%s was stopped by a signal: letting it go on", p.name)
			if err := q.Signal(unix.SIGCONT); err != nil {
				return err
			}
		}
	}
	if err := k.start(ctx); err != nil {
		return err
	}
	for _, path := range k.faults(ctx) {
		k.say("fault %s was left: deleting it", path)
		if err := k.call(ctx, http.MethodDelete, path, nil, nil); err != nil && !isGone(err) {
			return err
		}
	}
	for _, n := range k.nodes {
		if err := k.reopen(ctx, n); err != nil {
			return err
		}
	}
	return k.settle(ctx)
}

func isGone(err error) bool {
	var answer statusError
	return errors.As(err, &answer) && answer.code == http.StatusNotFound
}

// reopen lets a node take every pod again. It may only just have registered.
func (k *kubernetes) reopen(ctx context.Context, n node) error {
	var o struct{ Spec nodeSpec }
	path := "/api/v1/nodes/" + n.name
	if err := k.call(ctx, http.MethodGet, path, nil, &o); err != nil {
		return nil //nolint:nilerr // settle waits for it
	}
	tainted := slices.ContainsFunc(o.Spec.Taints, func(t struct{ Key string }) bool { return foreign(t.Key) })
	if !o.Spec.Unschedulable && !tainted {
		return nil
	}
	k.say("%s was cordoned or had a taint: letting it take pods", n.name)
	// Kubernetes itself puts back those of its taints that are still due.
	return k.call(ctx, http.MethodPatch, path, []byte(`{"spec":{"unschedulable":null,"taints":null}}`), nil)
}

// settleEvery is how often a cluster is looked at that is coming up: each look asks
// a dozen processes.
const settleEvery = 250 * time.Millisecond

// waitForNodes waits until every node is ready.
func (k *kubernetes) waitForNodes(ctx context.Context) error {
	err := poll.Until(ctx, settleEvery, func(ctx context.Context) error {
		var st Status
		for _, n := range k.nodes {
			st.Members = append(st.Members, MemberStatus{Name: n.name})
		}
		k.lookAtNodes(ctx, &st)
		for _, m := range st.Members {
			if m.Role != "ready" {
				return fmt.Errorf("%q", st.Problems)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for nodes: %w", err)
	}
	return nil
}

// settle waits until nothing is wrong with the cluster any more.
func (k *kubernetes) settle(ctx context.Context) error {
	err := poll.Until(ctx, settleEvery, func(ctx context.Context) error {
		var st Status
		k.look(ctx, &st)
		if len(st.Problems) > 0 {
			return fmt.Errorf("%q", st.Problems)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the cluster to be ready: %w", err)
	}
	return nil
}
