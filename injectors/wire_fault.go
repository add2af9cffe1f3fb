package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/injectors/faultpoint"
)

// question is a request of firedrill's own to one member, of the kind that a fault
// hits. It is part of the undo: references to keys, no keys.
type question struct {
	Member string `json:"member"`
	Method string `json:"method"`
	// Base is the fault point's address as a URL, Direct the member's own.
	Base   string `json:"base"`
	Direct string `json:"direct"`
	Path   string `json:"path"`
	// Alive is a path that any answer to shows that requests pass.
	Alive string `json:"alive"`
	// Op and Model are what a model is asked for.
	Op    string      `json:"op,omitempty"`
	Model string      `json:"model,omitempty"`
	Key   spec.Secret `json:"key,omitempty"`

	// point is the one that is asked.
	point *topology.FaultPointSpec
}

// wireFault is a fault in what goes over the wire, made by a fault point.
type wireFault struct {
	kinds   topology.Kinds
	fault   faultpoint.Fault
	keys    []spec.Secret
	expires time.Duration
	// question finds a request that the fault hits.
	question func(*topology.Component, *topology.Member, faultpoint.Fault) (question, error)
}

func newWireFault(
	k topology.Kinds, f faultpoint.Fault, keys []spec.Secret, expires spec.Duration,
	q func(*topology.Component, *topology.Member, faultpoint.Fault) (question, error),
) (drills.Injector, error) {
	for range keys {
		f.Keys = append(f.Keys, "not resolved yet")
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	f.Keys = nil
	if expires <= 0 {
		return nil, errors.New("expires: must be longer than 0s")
	}
	return &wireFault{kinds: k, fault: f, keys: keys, expires: expires.Std(), question: q}, nil
}

// wireUndo is all that is needed to clear the fault, to bring the fault point back
// should it have died, and to see that requests pass.
type wireUndo struct {
	Component string                  `json:"component"`
	Point     topology.FaultPointSpec `json:"point"`
	// ID and Seed are the fault's.
	ID   string `json:"id"`
	Seed uint32 `json:"seed"`
	// Instance is the process that was there, and Since the number of the first
	// exchange that it had not seen yet.
	Instance  string     `json:"instance"`
	Since     uint64     `json:"since"`
	Questions []question `json:"questions"`
}

func readWire(u drills.Undo) (w wireUndo, err error) {
	if err := json.Unmarshal(u.Data, &w); err != nil {
		return w, fmt.Errorf("read undo: %w", err)
	}
	for i := range w.Questions {
		w.Questions[i].point = &w.Point
	}
	return w, nil
}

func (u wireUndo) members() []string {
	var names []string
	for _, q := range u.Questions {
		names = append(names, q.Member)
	}
	return names
}

// resolved is the fault as the fault point is told it: keys as hashes.
func (f *wireFault) resolved(u wireUndo) (faultpoint.Fault, error) {
	out := f.fault
	out.ID, out.Seed, out.Members = u.ID, u.Seed, u.members()
	for _, ref := range f.keys {
		key, err := ref.Resolve()
		if err != nil {
			return out, fmt.Errorf("keys: %w", err)
		}
		out.Keys = append(out.Keys, faultpoint.HashKey(key))
	}
	return out, nil
}

// Inject tells the fault point, which must be the one that Prepare found: another
// one may stand somewhere else.
func (f *wireFault) Inject(ctx context.Context, t drills.Target, undo drills.Undo) error {
	u, err := readWire(undo)
	if err != nil {
		return err
	}
	fault, err := f.resolved(u)
	if err != nil {
		return err
	}
	st, err := faultpoint.Ask(ctx, u.Point)
	if err != nil {
		return err
	}
	if st.Instance != u.Instance {
		return restartedSince(u, st)
	}
	fault.Expires = time.Now().Add(f.lasts(t))
	return faultpoint.NewClient(u.Point.Socket).Set(ctx, fault)
}

// spare is how much later than the watchdog the fault point ends a fault by itself.
const spare = time.Minute

// lasts is after what time the fault point ends the fault by itself.
func (f *wireFault) lasts(t drills.Target) time.Duration {
	if t.Stay > 0 {
		return min(f.expires, t.Stay+spare)
	}
	return f.expires
}

func restartedSince(u wireUndo, st faultpoint.State) error {
	return fmt.Errorf("the fault point at %s is no longer the process that it was: it was started again at %s",
		u.Point.Socket, st.Since.UTC().Format(time.RFC3339))
}

// Held returns nil if the fault point is the one that was told, and still makes the
// fault.
func (f *wireFault) Held(ctx context.Context, undo drills.Undo) error {
	u, err := readWire(undo)
	if err != nil {
		return err
	}
	st, err := faultpoint.Ask(ctx, u.Point)
	switch {
	case err != nil:
		return err
	case st.Instance != u.Instance:
		return restartedSince(u, st)
	case !u.there(st):
		return fmt.Errorf("the fault point at %s does not make the fault any more: it was cleared, or its time (expires: %s) is over", u.Point.Socket, f.expires)
	}
	return nil
}

func (u wireUndo) there(st faultpoint.State) bool {
	return slices.ContainsFunc(st.Faults, func(f faultpoint.FaultState) bool { return f.ID == u.ID })
}

// Narrow implements drills.Narrower. Not every answer is a stream, or has choices.
func (f *wireFault) Narrow() bool {
	return f.fault.Share < 1 || len(f.fault.Models)+len(f.fault.Paths)+len(f.keys) > 0 ||
		f.fault.Mode == faultpoint.MalformedSSE || f.fault.Mode == faultpoint.EmptyChoice
}

// Exchanges yields every request that the fault point has seen since Prepare,
// to whatever member.
func (f *wireFault) Exchanges(ctx context.Context, undo drills.Undo) iter.Seq2[timeline.Exchange, error] {
	u, err := readWire(undo)
	if err != nil {
		return func(yield func(timeline.Exchange, error) bool) { yield(timeline.Exchange{}, err) }
	}
	return faultpoint.NewClient(u.Point.Socket).Exchanges(ctx, u.Instance, u.Since)
}

// passEvery is how often Revert looks whether requests pass again.
const passEvery = 20 * time.Millisecond

// Revert clears the fault, and returns once requests pass to every member. A fault
// point that died took the fault with it, and the way to the members: it is started
// again.
func (f *wireFault) Revert(ctx context.Context, undo drills.Undo) error {
	u, err := readWire(undo)
	if err != nil {
		return err
	}
	fp, err := f.kinds.OpenFaultPoint(topology.ComponentSpec{Name: u.Component, FaultPoint: &u.Point})
	if err != nil {
		return err
	}
	return poll.Until(ctx, passEvery, func(ctx context.Context) error {
		if _, err := faultpoint.Ensure(ctx, fp); err != nil {
			return poll.Stop(fmt.Errorf("component %s: %w", u.Component, err)) // it has tried for long enough
		}
		if err := faultpoint.NewClient(u.Point.Socket).Clear(ctx, u.ID); err != nil {
			return err
		}
		st, err := faultpoint.Ask(ctx, u.Point)
		if err != nil {
			return err
		}
		if u.there(st) {
			return fmt.Errorf("the fault point at %s still makes fault %s", u.Point.Socket, u.ID)
		}
		return u.pass(ctx, st)
	})
}

// pass returns nil if a request passes to every member that no other fault is on.
// One that does not answer by itself, either, is not this fault's doing.
func (u wireUndo) pass(ctx context.Context, st faultpoint.State) error {
	for _, q := range u.Questions {
		if slices.ContainsFunc(st.Faults, func(f faultpoint.FaultState) bool { return slices.Contains(f.Members, q.Member) }) {
			continue
		}
		through := q.ask(ctx, q.Base+q.Alive, http.MethodGet, nil, passWithin)
		if through.status != 0 {
			continue
		}
		if direct := q.ask(ctx, q.Direct+q.Alive, http.MethodGet, nil, passWithin); direct.status == 0 && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("member %s does not answer through %s: %w", q.Member, q.Base, through.err)
	}
	return nil
}

// passWithin is how long a request may take that is to pass.
const passWithin = 2 * time.Second
