package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"time"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// answerLimit is how much of an answer is kept to look at.
const answerLimit = 64 << 10

// TCPSpec is what a tcp probe says and wants to hear.
type TCPSpec struct {
	// Send is sent once the connection stands, as it is written.
	Send string `json:"send,omitempty"`
	// Expect is a regular expression (RE2) that the answer must contain within its
	// first 64 KiB. Without it, a connection that can be made is enough.
	Expect string `json:"expect,omitempty"`
}

// tcp connects and, if asked to, has an exchange.
type tcp struct {
	send   []byte
	expect *regexp.Regexp
}

func newTCP(s TCPSpec) (drills.ProbeKind, error) {
	k := &tcp{send: []byte(s.Send)}
	if s.Expect == "" {
		return k, nil
	}
	re, err := regexp.Compile(s.Expect)
	if err != nil {
		return nil, fmt.Errorf("expect: %w", err)
	}
	k.expect = re
	return k, nil
}

// Clients returns fresh, and pooled where there is an exchange to repeat: a
// connection that is merely kept open shows nothing.
func (k *tcp) Clients() []drills.Client {
	if len(k.send) > 0 && k.expect != nil {
		return []drills.Client{drills.Fresh, drills.Pooled}
	}
	return []drills.Client{drills.Fresh}
}

// Portable implements drills.Portable.
func (*tcp) Portable() error { return nil }

// Open makes the probe; it contacts nothing.
func (k *tcp) Open(_ context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open tcp probe: %w", err)
	}
	if s.Address == "" {
		return nil, fmt.Errorf("open tcp probe: no address to connect to: give the probe a target or an address")
	}
	p := &tcpProbe{kind: k, address: s.Address}
	if s.Client == drills.Pooled {
		p.pool = newPool(s.Lanes, p.dial, quiet)
	}
	return p, nil
}

type tcpProbe struct {
	kind    *tcp
	address string
	pool    *pool[net.Conn]
}

func (p *tcpProbe) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
}

// Observe connects, or takes a kept connection, and has the exchange.
func (p *tcpProbe) Observe(ctx context.Context) (o drills.Observation) {
	if p.pool != nil {
		err := p.pool.with(ctx, func(c net.Conn) bool {
			o = p.kind.exchange(ctx, c)
			return o.Class.Good()
		})
		if err != nil {
			return failed(ctx, err, timeline.Error)
		}
		return o
	}
	c, err := p.dial(ctx)
	if err != nil {
		return failed(ctx, err, timeline.Error)
	}
	defer c.Close()
	return p.kind.exchange(ctx, c)
}

// Close closes the kept connections.
func (p *tcpProbe) Close() error {
	if p.pool == nil {
		return nil
	}
	return p.pool.Close()
}

func (k *tcp) exchange(ctx context.Context, c net.Conn) drills.Observation {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if len(k.send) > 0 {
		if _, err := c.Write(k.send); err != nil {
			return failed(ctx, err, timeline.Error)
		}
	}
	if k.expect == nil {
		return drills.Observation{Class: timeline.OK}
	}
	return k.listen(ctx, c)
}

// listen reads until the answer is the expected one, too long, or at its end.
func (k *tcp) listen(ctx context.Context, c net.Conn) drills.Observation {
	answer := make([]byte, 0, 512)
	for len(answer) < answerLimit {
		if len(answer) == cap(answer) {
			answer = append(answer, 0)[:len(answer)]
		}
		n, err := c.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if k.expect.Match(answer) {
			return drills.Observation{Class: timeline.OK}
		}
		if errors.Is(err, io.EOF) && len(answer) > 0 {
			break
		}
		if err != nil {
			return k.unheard(ctx, answer, err)
		}
	}
	return k.wrong(answer)
}

// unheard is a connection that failed before the expected answer was there. One
// that gave another answer by the deadline did answer, but wrongly.
func (k *tcp) unheard(ctx context.Context, answer []byte, err error) drills.Observation {
	o := failed(ctx, err, timeline.Error)
	if o.Class == timeline.Timeout && len(answer) > 0 {
		return k.wrong(answer)
	}
	return o
}

func (k *tcp) wrong(answer []byte) drills.Observation {
	return drills.Observation{
		Class:  timeline.WrongAnswer,
		Detail: firstLine(fmt.Sprintf("want a match of %q, got %.120q", k.expect, answer)),
	}
}
