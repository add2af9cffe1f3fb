package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// look asks every vendor, the fault point and the gateway.
func (l *models) look(ctx context.Context, st *Status) {
	views := l.views(ctx)
	first := "" // the one that is asked first
	for i, v := range l.vendors {
		m := MemberStatus{Name: v.name, Address: v.address, Role: "instance", PID: v.pid(ctx), User: v.uid, Dir: v.dir}
		st.Problems = append(st.Problems, views[i].problems(v.name)...)
		down := views[i].direct != nil
		switch {
		case down:
			m.Role = "down"
		case l.strategy == "priority" && first == "":
			m.Role, first = "primary", v.name
		case l.strategy == "priority":
			m.Role = "replica"
		}
		st.Members = append(st.Members, m)
	}
	for _, p := range []process{l.faultPoint, l.gateway.process()} {
		s := MemberStatus{Name: p.name, Address: p.address, Role: "up", PID: p.pid(ctx), User: p.uid, Dir: p.dir}
		if s.PID == 0 {
			s.Role = "down"
			st.problem("%s does not run", p.name)
		}
		st.Services = append(st.Services, s)
	}
	if !l.installed() {
		st.problem("vendors and fault point run another firedrill than this one")
	}
	l.lookAtFaults(ctx, st)
	l.lookAtRoute(ctx, st, first)
}

// view is what is seen of a vendor.
type view struct {
	// direct and through say whether it lists its models when it is asked itself, and
	// when it is asked through the fault point.
	direct, through error
	// mode is how it was told to fail, if it was.
	mode string
}

// views asks all vendors at once.
func (l *models) views(ctx context.Context) []view {
	views := make([]view, len(l.vendors))
	var wg sync.WaitGroup
	for i, v := range l.vendors {
		wg.Go(func() { views[i].direct = l.lists(ctx, "http://"+v.address) })
		wg.Go(func() { views[i].through = l.lists(ctx, l.pointSpec().URL(v.name)) })
		wg.Go(func() { views[i].mode = l.mode(ctx, v.name) })
	}
	wg.Wait()
	return views
}

// mode is how a vendor was told to fail, "" if it was not or does not say.
func (l *models) mode(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, routeWithin)
	defer cancel()
	h, err := vendor.NewAdmin(l.socket(name)).Health(ctx)
	if err != nil {
		return vendor.Healthy
	}
	return h.Mode.Name
}

func (v view) problems(name string) (ps []string) {
	switch {
	case v.direct != nil:
		ps = append(ps, fmt.Sprintf("%s: %v", name, v.direct))
	case v.through != nil:
		ps = append(ps, fmt.Sprintf("%s through the fault point: %v", name, v.through))
	}
	if v.mode != vendor.Healthy {
		ps = append(ps, fmt.Sprintf("%s fails as it was told to: %s", name, v.mode))
	}
	return ps
}

// lookAtFaults says which faults are in force: a drill is at work, or left them.
func (l *models) lookAtFaults(ctx context.Context, st *Status) {
	ctx, cancel := context.WithTimeout(ctx, routeWithin)
	defer cancel()
	said, err := faultpoint.NewClient(l.socket(l.faultPoint.name)).State(ctx)
	if err != nil {
		st.problem("%s: %v", l.faultPoint.name, err)
	}
	for _, f := range said.Faults {
		st.problem("%s: fault %s is in force", l.faultPoint.name, f.ID)
	}
}

// lookAtRoute asks the way applications do. first is the vendor that must answer,
// "" if any may.
func (l *models) lookAtRoute(ctx context.Context, st *Status, first string) {
	asked, cancel := context.WithTimeoutCause(ctx, routeWithin, fmt.Errorf("no answer within %s", routeWithin))
	defer cancel()
	ready, err := l.gateway.leadsTo(asked)
	if err != nil {
		st.problem("%v", err)
		return
	}
	who, err := l.chats(ctx)
	if err != nil {
		st.problem("route %s: %v", l.Route, err)
		return
	}
	st.LeadsTo = []string{who}
	switch {
	case first != "" && who != first:
		st.problem("the route leads to %s, the first in order is %s", who, first)
	case first == "":
		st.LeadsTo = ready
		for _, v := range l.vendors {
			if !slices.Contains(ready, v.name) {
				st.problem("the route leads to %s, not to %s", strings.Join(ready, " and "), v.name)
			}
		}
	}
}
