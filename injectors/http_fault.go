package injectors

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/injectors/faultpoint"
)

// HTTPFaultSpec makes members that speak HTTP fail, at the fault point that stands
// in front of them. Parameters that a mode has no use for are left alone.
type HTTPFaultSpec struct {
	// Mode is how: the connection is refused, reset, or a black-hole that swallows
	// everything; its TLS handshake fails (tls) or the name does not resolve (dns); the
	// answer is an error status, comes late (latency), stalls in the middle, or is cut
	// there in good order. In tls and dns, connections that are open end with the
	// request that is on them; who does not verify certificates gets through tls, and
	// who goes on with an address beyond its time to live through dns.
	Mode string `json:"mode" jsonschema:"enum=refused,enum=reset,enum=black-hole,enum=tls,enum=dns,enum=status,enum=latency,enum=stall,enum=cut"`
	// Share is the share of the requests that this happens to, above 0.
	Share float64 `json:"share,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Seed is that of the generator that chooses them; 0: a new one for each drill,
	// which the record has.
	Seed uint32 `json:"seed,omitempty"`
	// Status is the answer of mode status.
	Status int `json:"status,omitempty" jsonschema:"minimum=400,maximum=599"`
	// Body is what it says; default: a JSON object with an error.
	Body string `json:"body,omitempty"`
	// RetryAfter is what it tells the client to wait, in whole seconds; 0s: it does
	// not say.
	RetryAfter spec.Duration `json:"retryAfter,omitempty"`
	// Delay is how late latency is.
	Delay spec.Duration `json:"delay,omitempty"`
	// After is how many server-sent events stall and cut let pass; of any other
	// answer, half passes.
	After int `json:"after,omitempty" jsonschema:"minimum=0"`
	// TLS is what mode tls shows to those who connect: an expired certificate, one
	// that is untrusted only, neither signed by anybody, or an alert in the middle of
	// the handshake.
	TLS string `json:"tls,omitempty" jsonschema:"enum=expired,enum=untrusted,enum=handshake"`
	// DNS is what mode dns says: nxdomain, servfail, or nothing (timeout).
	DNS string `json:"dns,omitempty" jsonschema:"enum=nxdomain,enum=servfail,enum=timeout"`
	// Paths are what the paths of requests that are hit begin with; default: all.
	// The first one, or else /, is what firedrill itself asks for (GET) to confirm
	// the fault.
	Paths []string `json:"paths,omitempty"`
	// Keys are references (env:NAME or file:PATH) to the bearer tokens whose requests
	// are hit; default: all.
	Keys []spec.Secret `json:"keys,omitempty"`
	// Expires is after what time the fault point ends the fault by itself, should runner
	// and watchdog both be gone: at the latest a minute and a half after the drill's
	// longest time, or the fault's own.
	Expires spec.Duration `json:"expires,omitempty"`
}

var httpFaultDefaults = HTTPFaultSpec{
	Share: 1, Status: http.StatusServiceUnavailable, Delay: spec.Duration(30 * time.Second), After: 3,
	TLS: faultpoint.Expired, DNS: faultpoint.NXDomain, Expires: spec.Duration(2 * time.Hour),
}

// httpModes are those that need no knowledge of what is said.
var httpModes = []faultpoint.Mode{
	faultpoint.Refused, faultpoint.Reset, faultpoint.BlackHole, faultpoint.TLS, faultpoint.DNS,
	faultpoint.Status, faultpoint.Latency, faultpoint.Stall, faultpoint.Cut,
}

func newHTTPFault(k topology.Kinds) func(HTTPFaultSpec) (drills.Injector, error) {
	return func(s HTTPFaultSpec) (drills.Injector, error) {
		if !slices.Contains(httpModes, faultpoint.Mode(s.Mode)) {
			return nil, fmt.Errorf("mode: %q: want one of %v", s.Mode, httpModes)
		}
		return newWireFault(k, faultpoint.Fault{
			Mode: faultpoint.Mode(s.Mode), Share: s.Share, Seed: s.Seed, Status: s.Status, Body: s.Body, RetryAfter: s.RetryAfter,
			Delay: s.Delay, After: s.After, TLS: s.TLS, DNS: s.DNS, Paths: s.Paths,
		}, s.Keys, s.Expires, httpQuestion)
	}
}

// httpQuestion is a request of ours that a fault fits.
func httpQuestion(c *topology.Component, m *topology.Member, f faultpoint.Fault) (question, error) {
	q := question{Method: http.MethodGet, Path: "/", Alive: "/", Base: c.FaultPoint.Spec.URL(m.Name())}
	if len(f.Paths) > 0 {
		q.Path = f.Paths[0]
	}
	return q, nil
}
