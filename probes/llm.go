package probes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
)

// llmKind is what the kinds of probes that ask a model have in common.
type llmKind struct {
	op string
	// model is what is asked for; "" is the component's model for op.
	model      string
	accept     []string
	parameters map[string]any
	// asker makes what asks; each series has its own.
	asker func() (asker, error)
}

// asker asks one thing of a model and judges the answer. Calls overlap.
type asker interface {
	ask(ctx context.Context, p *llmProbe, x *exchange) drills.Observation
}

// Op returns what the kind asks for.
func (k *llmKind) Op() string { return k.op }

// Clients returns fresh and pooled.
func (*llmKind) Clients() []drills.Client { return []drills.Client{drills.Fresh, drills.Pooled} }

// Open makes the probe; it reads secrets and contacts nothing.
func (k *llmKind) Open(_ context.Context, s drills.Subject) (drills.Probe, error) {
	p, err := k.open(s)
	if err != nil {
		return nil, fmt.Errorf("open llm-%s probe: %w", k.op, err)
	}
	return p, nil
}

func (k *llmKind) open(s drills.Subject) (*llmProbe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, err
	}
	cfg, err := llm.ConfigOf(s.Component)
	if err != nil {
		return nil, err
	}
	ask, err := k.asker()
	if err != nil {
		return nil, err
	}
	p := &llmProbe{kind: k, cfg: cfg, component: s.Component, subject: s, asker: ask, model: k.model}
	if p.model == "" {
		p.model = map[string]string{"chat": cfg.Models.Chat, "embedding": cfg.Models.Embedding, "rerank": cfg.Models.Rerank}[k.op]
	}
	if p.model == "" {
		return nil, fmt.Errorf("component %s: with.models.%s is not set: name the model there, or in the probe's with.model", s.Component.Name(), k.op)
	}
	at, err := p.base()
	if err != nil {
		return nil, err
	}
	if err := p.makeClient(at); err != nil {
		return nil, err
	}
	t := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	if s.Member != nil {
		s.Component.Spec.FaultPoint.Through(t)
	}
	p.httpConns = newHTTPConns(t, at.Scheme, hostPort(at), s)
	p.tag = fmt.Sprintf("%s-%s%d", orElse(s.RunID, "run"), k.op, llmSeries.Add(1))
	return p, nil
}

// llmSeries numbers the series that ask a model, so that their ids differ.
var llmSeries atomic.Int64

// llmProbe is an opened series.
type llmProbe struct {
	*httpConns
	kind      *llmKind
	cfg       llm.Config
	component *topology.Component
	subject   drills.Subject
	model     string
	client    openai.Client
	options   []option.RequestOption
	secrets   redactor
	asker     asker
	// tag begins the ids of the series' requests; n is how many there were.
	tag string
	n   atomic.Int64
}

// base is where the API is: at the probe's address, or at one member, as the gateway
// reaches it.
func (p *llmProbe) base() (*url.URL, error) {
	at := p.cfg.Scheme + "://" + p.subject.Address + p.cfg.BasePath
	if p.subject.Member != nil {
		at = p.cfg.Base(p.component, p.subject.Member)
	} else if p.subject.Address == "" {
		return nil, errors.New("no address: give the probe a target or an address")
	} else if _, _, err := net.SplitHostPort(p.subject.Address); err != nil {
		return nil, fmt.Errorf("address %q: %w", p.subject.Address, err)
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("address %q: want host:port", p.subject.Address)
	}
	return u, nil
}

// hostPort is what to connect to for a URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// makeClient makes the official client. Its services are made one by one, because
// openai.NewClient would take an address, a key and headers from the environment.
func (p *llmProbe) makeClient(at *url.URL) error {
	opts := []option.RequestOption{option.WithBaseURL(at.String()), option.WithMaxRetries(0)}
	ref, what := p.cfg.Key, "with.key"
	if m := p.subject.Member; m != nil {
		ref, what = p.cfg.Vendors[m.Name()].Key, "with.vendors."+m.Name()+".key"
	}
	key, err := ref.Resolve()
	if err != nil {
		return fmt.Errorf("component %s: %s: %w", p.component.Name(), what, err)
	}
	if key != "" {
		opts = append(opts, option.WithAPIKey(key))
	}
	p.secrets = redactor{key}
	if p.subject.Member == nil { // the headers are for the route
		hs, err := p.headers()
		if err != nil {
			return err
		}
		opts = append(opts, hs...)
	}
	p.client = openai.Client{
		Options: opts, Chat: openai.NewChatService(opts...), Embeddings: openai.NewEmbeddingService(opts...),
	}
	for name, v := range p.kind.parameters {
		if v == nil {
			p.options = append(p.options, option.WithJSONDel(name))
		} else {
			p.options = append(p.options, option.WithJSONSet(name, v))
		}
	}
	return nil
}

// headers are those that every request to the route carries.
func (p *llmProbe) headers() (opts []option.RequestOption, err error) {
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Headers)) {
		opts = append(opts, option.WithHeader(name, p.cfg.Headers[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.SecretHeaders)) {
		v, err := p.cfg.SecretHeaders[name].Resolve()
		if err != nil {
			return nil, fmt.Errorf("component %s: with.secretHeaders.%s: %w", p.component.Name(), name, err)
		}
		opts = append(opts, option.WithHeader(name, v))
		p.secrets = append(p.secrets, v)
	}
	return opts, nil
}

// Observe asks once, on a new or a kept connection, and reads the whole answer.
func (p *llmProbe) Observe(ctx context.Context) drills.Observation {
	x := newExchange(p)
	var o drills.Observation
	err := p.use(ctx, func(c *http.ClientConn) bool {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		x.conn = c
		o = p.asker.ask(ctx, p, x)
		return x.end(cancel, p.pool != nil)
	})
	if err != nil {
		x.err = err
		o = x.failed(ctx, err)
	}
	o.By = p.who(x)
	o.Detail = p.secrets.clean(o.Detail)
	x.req.Model, x.req.Finish = x.cutTo(wordMost, x.req.Model), x.cutTo(wordMost, x.req.Finish)
	o.Request = &x.req
	return o
}

func (p *llmProbe) nextID() string { return p.tag + "-" + strconv.FormatInt(p.n.Add(1), 10) }

// wordMost is how much is kept of a name that the service chose, in runes.
const wordMost = 100

// perRequest are the options of one request.
func (p *llmProbe) perRequest(x *exchange) []option.RequestOption {
	own := []option.RequestOption{
		option.WithHTTPClient(&http.Client{
			Transport:     x,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		option.WithHeader("X-Request-Id", x.req.ID),
	}
	return append(own, p.options...)
}

// who names the member that answered.
func (p *llmProbe) who(x *exchange) string {
	return p.cfg.Who(p.component, x.fingerprint, x.req.Model, x.header.Get)
}

// accepts tells whether the model that an answer names may have given it.
func (p *llmProbe) accepts(x *exchange) bool {
	name := x.req.Model
	if name == "" {
		return true
	}
	if len(p.kind.accept) > 0 {
		return slices.Contains(p.kind.accept, name)
	}
	return llm.SameModel(p.model, name) || p.cfg.Identify.By == "model" && p.who(x) != ""
}

// another is the detail of an answer by a model that may not give it.
func (p *llmProbe) another(x *exchange) string {
	want := []string{p.model}
	if len(p.kind.accept) > 0 {
		want = p.kind.accept
	}
	return fmt.Sprintf("model %q answered, want %s", x.cutTo(60, x.req.Model), strings.Join(want, " or "))
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
