package topology

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// Platform is implemented by adapters of components that live on a platform with an
// API: others may drill there from elsewhere, and not everybody may do everything.
type Platform interface {
	// Admit refuses, before anything is touched, what must not be drilled: a protected
	// place, one that somebody else breaks just now, one where a privilege is missing.
	// Everything that is wrong is in one error.
	Admit(ctx context.Context, needs []Privilege) error
	// Lock keeps the drills of other runners away until Unlock, and is called again
	// and again meanwhile: a lock that is not renewed expires. It refuses a lock that
	// another run holds, and names that run.
	Lock(ctx context.Context, runID string) error
	// Unlock is idempotent. A lock that another run holds stays.
	Unlock(ctx context.Context, runID string) error
}

// ErrLocked is in the error of a Lock that another run holds.
var ErrLocked = errors.New("locked by another drill")

// Privilege is what somebody must be allowed to do with a platform's objects; the
// words are those of Kubernetes' RBAC.
type Privilege struct {
	// Group is the API group, "" for the core. Resource may have a subresource:
	// "pods/eviction".
	Group    string   `json:"group"`
	Resource string   `json:"resource"`
	Verbs    []string `json:"verbs"`
	// Namespace is "" for what has none: nodes.
	Namespace string `json:"namespace,omitempty"`
	// Names narrow it to the objects that are called so. What makes or lists objects
	// cannot be narrowed.
	Names []string `json:"names,omitempty"`
	// For says in a few words what needs it.
	For string `json:"for,omitempty"`
}

// Watching is implemented by adapters that see their members come and go.
type Watching interface {
	// Watch hands every change to note, one after the other, until ctx ends. It goes
	// on when the platform does not answer for a while; what it then missed shows as
	// changes that are late.
	Watch(ctx context.Context, note func(Change)) error
}

// Change is one thing that happened to a member, as the platform told it.
type Change struct {
	Member string
	// What is one of the words of timeline.MemberChanged.
	What string
	// Detail is a line for people.
	Detail string
	// Stamp is the platform's own time of the change, if it gives one: by its clock,
	// and often to the second only.
	Stamp time.Time
	// Lag is how late the change was seen, where that is known for certain.
	Lag time.Duration
}

// Enrol makes the members of a component those that were just discovered, where the
// file names none: pods come and go. A member that stays is the same as before.
func (k Kinds) Enrol(c *Component, s State) error {
	if !c.Found() {
		return nil
	}
	var now []*Member
	for _, ms := range s.Members {
		if ms.Spec == nil {
			continue
		}
		m, err := c.Member(ms.Member)
		if err != nil || !reflect.DeepEqual(m.Spec, *ms.Spec) {
			m = &Member{Spec: *ms.Spec, Component: c.Name()}
			if ms.Spec.Control != nil {
				if m.Control, err = k.OpenControl(*ms.Spec); err != nil {
					return err
				}
			}
		}
		now = append(now, m)
	}
	c.Members = now
	return nil
}
