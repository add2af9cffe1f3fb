package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func (l *databases) look(ctx context.Context, st *Status) {
	members, problems := l.memberStatus(ctx)
	st.Members, st.Problems = members, append(st.Problems, problems...)
	st.Problems = append(st.Problems, l.routeStatus(ctx, st)...)
}

// memberStatus asks all servers at once.
func (l *databases) memberStatus(ctx context.Context) ([]MemberStatus, []string) {
	found := make([]standing, len(l.servers))
	errs := make([]error, len(l.servers))
	_ = l.each(ctx, func(ctx context.Context, s *Server) error {
		i := slices.Index(l.servers, s)
		found[i], errs[i] = s.standing(ctx)
		return nil
	})
	var members []MemberStatus
	var problems, writable []string
	primary := ""
	for i, s := range l.servers {
		if errs[i] == nil && !found[i].readOnly {
			writable, primary = append(writable, s.Name), s.Address
		}
	}
	if len(writable) != 1 {
		problems = append(problems, fmt.Sprintf("%d servers take writes %v: want one", len(writable), writable))
	}
	for i, s := range l.servers {
		role, problem := roleOf(found[i], errs[i], primary)
		if problem != "" {
			problems = append(problems, s.Name+": "+problem)
		}
		members = append(members, MemberStatus{Name: s.Name, Address: s.Address, Role: role, PID: s.PID(ctx), User: s.UID, Dir: s.Dir})
	}
	return members, problems
}

// roleOf judges one server, given the primary's address.
func roleOf(st standing, err error, primary string) (role, problem string) {
	switch {
	case err != nil:
		return "down", err.Error()
	case !st.readOnly:
		return "primary", ""
	case st.running && st.source == primary:
		return "replica", ""
	case st.source == "":
		return "detached", "follows no server"
	case st.source != primary:
		return "detached", fmt.Sprintf("follows %s, which is not the primary", st.source)
	}
	return "detached", strings.TrimSpace("does not replicate " + st.problem)
}
