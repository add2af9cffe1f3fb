package injectors

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/injectors/faultpoint"
)

// Prepare needs a fault point that stands in front of every member, answers, and
// does not make a fault there already.
func (f *wireFault) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	if t.Component == nil || t.Component.FaultPoint == nil {
		return drills.Undo{}, errors.New("the target's component has no fault point: give it faultPoint (socket, listen) in the topology file, " +
			"and have what asks its members connect to the addresses of faultPoint.listen")
	}
	c, point := t.Component, t.Component.FaultPoint.Spec
	if !filepath.IsAbs(point.Socket) {
		return drills.Undo{}, fmt.Errorf("component %s: faultPoint.socket: %q: want an absolute path: whoever undoes the fault may stand elsewhere", c.Name(), point.Socket)
	}
	// The seed is kept below 1<<31: some who read records know no larger numbers.
	id := make([]byte, 10)
	rand.Read(id) // never fails
	u := wireUndo{Component: c.Name(), Point: point, ID: hex.EncodeToString(id[:6]), Seed: binary.BigEndian.Uint32(id[6:]) >> 1}
	if f.fault.Seed != 0 {
		u.Seed = f.fault.Seed
	}
	for _, m := range t.Members {
		if point.Listen[m.Name()] == "" {
			return drills.Undo{}, fmt.Errorf("component %s: no fault point stands in front of member %s: add %s: HOST:PORT to faultPoint.listen in the topology file",
				c.Name(), m.Name(), m.Name())
		}
		if err := f.able(point, m.Name()); err != nil {
			return drills.Undo{}, fmt.Errorf("component %s: %w", c.Name(), err)
		}
		q, err := f.question(c, m, f.fault)
		if err != nil {
			return drills.Undo{}, fmt.Errorf("member %s: %w", m.Name(), err)
		}
		q.Member, q.point = m.Name(), &point
		if len(f.keys) > 0 {
			q.Key = f.keys[0]
		}
		if _, err := q.Key.Resolve(); err != nil {
			return drills.Undo{}, fmt.Errorf("member %s: %w", m.Name(), err)
		}
		u.Questions = append(u.Questions, q)
	}
	if _, err := f.resolved(u); err != nil {
		return drills.Undo{}, err
	}
	if err := f.look(ctx, c, &u); err != nil {
		return drills.Undo{}, fmt.Errorf("component %s: %w", c.Name(), err)
	}
	b, err := json.Marshal(u)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	says := fmt.Sprintf("have the fault point at %s pass everything on to %s again (fault %s)", point.Socket, strings.Join(u.members(), ", "), u.ID)
	return drills.Undo{Says: says, Data: b}, ctx.Err()
}

// able refuses modes that the fault point has not got what it takes for.
func (f *wireFault) able(p topology.FaultPointSpec, member string) error {
	switch {
	case f.fault.Mode == faultpoint.TLS && p.TLS == nil:
		return errors.New("mode: tls: the fault point listens without TLS, so no handshake can fail there: give faultPoint tls (cert, key) in the topology file, " +
			"and have what asks its members connect with TLS and trust that certificate")
	case f.fault.Mode == faultpoint.DNS && (p.DNS == nil || p.DNS.Names[member] == ""):
		return fmt.Errorf("mode: dns: the fault point is not who resolves member %s's name: give faultPoint dns (listen, names: {%s: NAME}) in the topology file, "+
			"and have what asks its members ask for that name there", member, member)
	}
	return nil
}

// look finds out how the fault point is.
func (f *wireFault) look(ctx context.Context, c *topology.Component, u *wireUndo) error {
	st, err := faultpoint.Ask(ctx, u.Point)
	if err != nil {
		return fmt.Errorf("%w: start it with: %s", err, serveCommand(c))
	}
	u.Instance, u.Since = st.Instance, st.Next
	for i := range u.Questions {
		q := &u.Questions[i]
		j := slices.IndexFunc(st.Points, func(p faultpoint.PointState) bool { return p.Member == q.Member })
		if j < 0 {
			return fmt.Errorf("the fault point at %s does not know member %s: start it again with: %s", u.Point.Socket, q.Member, serveCommand(c))
		}
		p := st.Points[j]
		if p.Listen != u.Point.Listen[q.Member] {
			return fmt.Errorf("the fault point at %s listens at %s for member %s, the topology file says faultPoint.listen %s",
				u.Point.Socket, p.Listen, q.Member, u.Point.Listen[q.Member])
		}
		if err := u.fits(p); err != nil {
			return fmt.Errorf("the fault point at %s %w, unlike the topology file: start it again with: %s", u.Point.Socket, err, serveCommand(c))
		}
		if err := f.sound(ctx, q); err != nil {
			return err
		}
		q.Direct = strings.TrimSuffix(p.Upstream, "/")
		for _, other := range st.Faults {
			if slices.Contains(other.Members, q.Member) && f.clashes(other) {
				return fmt.Errorf("the fault point at %s makes a fault for member %s already (%s, %s): somebody else's drill, or one to recover (firedrill recover)",
					u.Point.Socket, q.Member, other.Mode, other.ID)
			}
		}
	}
	return nil
}

// fits returns how a point is unlike the topology file.
func (u wireUndo) fits(p faultpoint.PointState) error {
	name := ""
	if d := u.Point.DNS; d != nil {
		name = d.Names[p.Member]
	}
	switch {
	case p.TLS && u.Point.TLS == nil:
		return errors.New("listens with TLS")
	case !p.TLS && u.Point.TLS != nil:
		return errors.New("listens without TLS")
	case name != "" && !strings.EqualFold(strings.TrimSuffix(name, "."), strings.TrimSuffix(p.Name, ".")):
		return fmt.Errorf("does not resolve %s", name)
	}
	return nil
}

// sound returns nil if what the fault is to break works: else nobody could tell the
// fault from that.
func (f *wireFault) sound(ctx context.Context, q *question) error {
	switch f.fault.Mode {
	case faultpoint.TLS:
		if err := q.handshake(ctx); err != nil {
			return fmt.Errorf("own TLS handshake with %s fails without a fault: %w: does the file faultPoint.tls.ca (default: cert) in the topology have what signed the certificate?",
				q.at(), err)
		}
	case faultpoint.DNS:
		return q.resolves(ctx)
	}
	return nil
}

// clashes tells whether two faults cannot be told apart, or one leaves nothing for
// the other.
func (f *wireFault) clashes(other faultpoint.FaultState) bool {
	all := other.Share == 1 && len(other.Models) == 0 && len(other.Paths) == 0 && !other.Keyed
	return all || other.Mode == f.fault.Mode && slices.Equal(other.Models, f.fault.Models) && slices.Equal(other.Paths, f.fault.Paths)
}

// serveCommand is how a component's fault point is started.
func serveCommand(c *topology.Component) string {
	p := c.FaultPoint.Spec
	cfg := faultpoint.Config{Socket: p.Socket, TLS: p.TLS, DNS: p.DNS}
	for _, m := range c.Members {
		listen := p.Listen[m.Name()]
		if listen == "" {
			continue
		}
		up := p.Upstream[m.Name()]
		if up == "" {
			up = "http://" + m.Address()
		}
		cfg.Points = append(cfg.Points, faultpoint.Point{Member: m.Name(), Listen: listen, Upstream: up})
	}
	return "firedrill faultpoint serve " + strings.Join(cfg.Args(), " ")
}
