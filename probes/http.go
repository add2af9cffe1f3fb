package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// bodyLimit is how much of a body is kept to look at; the rest is read and
// dropped.
const bodyLimit = 1 << 20

// httpKind sends one request per observation.
type httpKind struct {
	spec HTTPSpec
	body *regexp.Regexp
}

// Clients returns fresh and pooled.
func (*httpKind) Clients() []drills.Client { return []drills.Client{drills.Fresh, drills.Pooled} }

// Portable implements drills.Portable: secrets and files are the runner's alone.
func (k *httpKind) Portable() error {
	if len(k.spec.SecretHeaders) > 0 {
		return errors.New("with.secretHeaders: a secret is not sent to other hosts: use headers, or look from the runner")
	}
	if k.spec.TLS.CAFile != "" {
		return errors.New("with.tls.caFile: the file is not there: trust the system's certificates (of the agent's image), or use insecure")
	}
	return nil
}

// Open makes the probe; it reads secrets and certificates and contacts nothing.
func (k *httpKind) Open(_ context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open http probe: %w", err)
	}
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("open http probe: address %q: %w", s.Address, err)
	}
	p := &httpProbe{kind: k}
	if p.header, p.secrets, err = k.spec.headers(); err != nil {
		return nil, fmt.Errorf("open http probe: %w", err)
	}
	t := &http.Transport{DisableCompression: true}
	if t.TLSClientConfig, err = k.spec.TLS.config(host); err != nil {
		return nil, fmt.Errorf("open http probe: %w", err)
	}
	p.httpConns = newHTTPConns(t, k.spec.Scheme, s.Address, s)
	return p, nil
}

type httpProbe struct {
	*httpConns
	kind    *httpKind
	header  http.Header
	secrets redactor
}

// Observe sends the request on a new or a kept connection and reads the whole
// answer.
func (p *httpProbe) Observe(ctx context.Context) drills.Observation {
	o := p.observe(ctx)
	o.Detail = p.secrets.clean(o.Detail)
	return o
}

func (p *httpProbe) observe(ctx context.Context) (o drills.Observation) {
	err := p.use(ctx, func(c *http.ClientConn) (keep bool) {
		o, keep = p.ask(ctx, c)
		return keep
	})
	if err != nil {
		return failed(ctx, err, timeline.Error)
	}
	return o
}

// ask has one exchange on a connection and says whether it can have another.
func (p *httpProbe) ask(ctx context.Context, c *http.ClientConn) (o drills.Observation, keep bool) {
	resp, err := roundTrip(c, p.request(ctx))
	if err != nil {
		// What is no HTTP at all comes back as an error too.
		return failed(ctx, err, timeline.WrongAnswer), false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return failed(ctx, fmt.Errorf("read body after status %d: %w", resp.StatusCode, err), timeline.WrongAnswer), false
	}
	o = p.kind.judge(resp, body)
	if h := p.kind.spec.MemberHeader; h != "" {
		o.By = resp.Header.Get(h)
	}
	return o, !resp.Close
}

func (p *httpProbe) request(ctx context.Context) *http.Request {
	s := p.kind.spec
	var body io.Reader
	if s.Body != "" {
		body = strings.NewReader(s.Body)
	}
	// The parts were checked when the kind was made: this cannot fail.
	r, _ := http.NewRequestWithContext(ctx, s.Method, s.Scheme+"://"+p.address+s.Path, body)
	r.Header = p.header.Clone()
	if s.Host != "" {
		r.Host = s.Host
	}
	return r
}

// judge compares a whole answer with the expected one.
func (k *httpKind) judge(resp *http.Response, body []byte) drills.Observation {
	code := resp.StatusCode
	switch {
	case k.spec.ExpectStatus.Has(code):
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return k.unwanted(timeline.Auth, resp, body)
	case code >= 400:
		return k.unwanted(timeline.Error, resp, body)
	default:
		return k.unwanted(timeline.WrongAnswer, resp, body)
	}
	if k.body != nil && !k.body.Match(body) {
		return drills.Observation{
			Class:  timeline.WrongAnswer,
			Detail: firstLine(fmt.Sprintf("body: want a match of %q, got %.120q", k.body, body)),
		}
	}
	return drills.Observation{Class: timeline.OK}
}

func (k *httpKind) unwanted(c timeline.Class, resp *http.Response, body []byte) drills.Observation {
	return drills.Observation{
		Class:  c,
		Detail: fmt.Sprintf("status %s: want %s: %.100s", resp.Status, k.spec.ExpectStatus, firstLine(string(body))),
	}
}
