package injectors_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors"
	"firedrill/injectors/faultpoint"
	"firedrill/injectors/injectortest"
)

// faultPoint is the role of a fault point: its configuration as JSON
func faultPoint(args []string) int {
	var cfg faultpoint.Config
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return 2
	}
	if err := faultpoint.Serve(context.Background(), cfg, func() {}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const vendorKey = "a-key-that-nobody-else-has"

// wire is a component with two members behind a fault point: a, a real HTTP server
// of the test's own, and b, where nobody listens.
type wire struct {
	t     *testing.T
	spec  topology.ComponentSpec
	user  string
	asked atomic.Int64
}

// newWire starts everything. host is a loopback address of the test's own.
func newWire(t *testing.T, kind, host, user string) *wire {
	t.Helper()
	return openWire(t, kind, host, user, false)
}

// newSecureWire has a fault point that listens with TLS, and that a name leads to.
func newSecureWire(t *testing.T, kind, host, user string) *wire {
	t.Helper()
	return openWire(t, kind, host, user, true)
}

func openWire(t *testing.T, kind, host, user string, secure bool) *wire {
	t.Helper()
	controltest.Real(t)
	t.Setenv("FIREDRILL_TEST_VENDOR_KEY", vendorKey)
	w := &wire{t: t, user: user}
	l, err := net.Listen("tcp", host+":8000")
	require.NoError(t, err)
	up := &httptest.Server{Listener: l, Config: &http.Server{Handler: w}}
	up.Start()
	t.Cleanup(up.Close)
	dir, program := controltest.Dir(t)
	socket := filepath.Join(dir, "s")
	cfg := faultpoint.Config{Socket: socket, Points: []faultpoint.Point{
		{Member: "a", Listen: host + ":8001", Upstream: "http://" + host + ":8000"},
		{Member: "b", Listen: host + ":8002", Upstream: "http://" + host + ":8009"},
	}}
	if secure {
		cfg.TLS = certificate(t, dir, "a.models.lab", "b.models.lab")
		cfg.DNS = &topology.FaultPointDNS{Listen: host + ":5353", Names: map[string]string{"a": "a.models.lab", "b": "b.models.lab"}}
	}
	control := topology.ControlSpec{Kind: "process", With: controltest.JSON(t, map[string]any{
		"start": []string{program, string(controltest.JSON(t, cfg))},
		"ready": "process", "pidFile": filepath.Join(dir, "pid"), "log": filepath.Join(dir, "log"), "env": controltest.As("faultpoint"),
	})}
	w.spec = topology.ComponentSpec{
		Name: "models", Kind: kind, Failover: "automatic",
		Members: []topology.MemberSpec{{Name: "a", Address: host + ":8000"}, {Name: "b", Address: host + ":8009"}},
		FaultPoint: &topology.FaultPointSpec{
			Socket: socket, Listen: map[string]string{"a": host + ":8001", "b": host + ":8002"}, Control: &control, User: user,
			TLS: cfg.TLS, DNS: cfg.DNS,
		},
	}
	if kind == "llm" {
		w.spec.With = json.RawMessage(`{"models":{"chat":"small","embedding":"vectors"},"vendors":{"a":{"key":"env:FIREDRILL_TEST_VENDOR_KEY"}}}`)
	}
	fp, err := kinds.OpenFaultPoint(w.spec)
	require.NoError(t, err)
	t.Cleanup(func() { controltest.End(fp.Control) })
	_, err = faultpoint.Ensure(t.Context(), fp)
	require.NoError(t, err)
	return w
}

// certificate writes one for the names, for every user to read.
func certificate(t *testing.T, dir string, names ...string) *topology.FaultPointTLS {
	t.Helper()
	c, err := faultpoint.Certify(names...)
	require.NoError(t, err)
	f := &topology.FaultPointTLS{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), CA: filepath.Join(dir, "ca")}
	for path, b := range map[string][]byte{f.Cert: c.Cert, f.Key: c.Key, f.CA: c.CA} {
		require.NoError(t, os.WriteFile(path, b, 0o644))
	}
	return f
}

// ServeHTTP answers like a vendor, if the key is right.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	if w.spec.Kind == "llm" && r.Header.Get("Authorization") != "Bearer "+vendorKey {
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	var q struct {
		Model    string
		Stream   bool
		Messages []struct{ Content string }
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	switch {
	case strings.HasSuffix(r.URL.Path, "/embeddings"):
		fmt.Fprintf(rw, `{"object":"list","model":%q,"data":[{"embedding":[1,0]}],"usage":{"prompt_tokens":1}}`, q.Model)
	case !strings.HasSuffix(r.URL.Path, "/chat/completions"):
		fmt.Fprint(rw, `{"object":"list","data":[]}`)
	case q.Stream:
		rw.Header().Set("Content-Type", "text/event-stream")
		for word := range strings.FieldsSeq(strings.TrimPrefix(q.Messages[0].Content, "Reply with exactly: ")) {
			fmt.Fprintf(rw, "data: {\"model\":%q,\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", q.Model, word)
			http.NewResponseController(rw).Flush()
		}
		fmt.Fprint(rw, "data: [DONE]\n\n")
	default:
		fmt.Fprintf(rw, `{"object":"chat.completion","model":%q,"choices":[{"message":{"content":"1"},"finish_reason":"stop"}]}`, q.Model)
	}
}

func (w *wire) target(members ...string) func() (drills.Target, error) {
	return func() (drills.Target, error) { return injectortest.OpenPart(kinds, w.spec, members) }
}

// ask asks member a for a chat, as a gateway does, by way of the fault point.
func (w *wire) ask(ctx context.Context, within time.Duration) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.spec.FaultPoint.URL("a")+"/v1/chat/completions",
		strings.NewReader(`{"model":"small","user":"test","messages":[]}`))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+vendorKey)
	resp, err := (&http.Client{Transport: w.spec.FaultPoint.Transport()}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// passes returns nil if a request gets its own answer.
func (w *wire) passes(ctx context.Context) error {
	status, body, err := w.ask(ctx, 2*time.Second)
	if err == nil && (status != 200 || !strings.HasSuffix(body, "}")) {
		err = fmt.Errorf("got %d %q", status, body)
	}
	return err
}

func (w *wire) healthy(ctx context.Context) error { return eventually(ctx, w.passes) }

// answers returns nil if requests get an answer with that status.
func (w *wire) answers(want int) func(context.Context) error {
	return func(ctx context.Context) error {
		status, _, err := w.ask(ctx, 5*time.Second)
		if err == nil && status != want {
			err = fmt.Errorf("got %d, want %d", status, want)
		}
		return err
	}
}

// fails returns nil if requests fail with that error.
func (w *wire) fails(want error) func(context.Context) error {
	return func(ctx context.Context) error {
		if status, _, err := w.ask(ctx, 100*time.Millisecond); !errors.Is(err, want) {
			return fmt.Errorf("got %d and %w, want %w", status, err, want)
		}
		return nil
	}
}

// leftovers lists faults that are still there.
func (w *wire) leftovers() ([]string, error) {
	st, err := faultpoint.Ask(context.Background(), *w.spec.FaultPoint)
	var out []string
	for _, f := range st.Faults {
		out = append(out, f.ID)
	}
	return out, err
}

// die kills the fault point the way an accident would.
func (w *wire) die(ctx context.Context) error {
	return eventually(ctx, func(context.Context) error {
		ps, err := owned(w.user)
		for _, p := range ps {
			_ = p.Signal(unix.SIGKILL)
		}
		if err == nil && len(ps) > 0 {
			err = errors.New("still dying")
		}
		return err
	})
}

func (w *wire) conforms(kind, with string, share float64, faulted func(context.Context) error) {
	w.t.Helper()
	injectortest.Run(w.t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: kind, With: with, Target: w.target("a"),
		Worker:  &injectortest.Job{Component: &w.spec, Parts: []string{"a"}},
		Healthy: w.healthy, Faulted: faulted, Leftovers: w.leftovers, Die: w.die, Share: share,
	})
}

func TestLLMFaultConforms(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.2", "65571")
	w.conforms("llm-fault", `{"mode":"quota","keys":["env:FIREDRILL_TEST_VENDOR_KEY"]}`, 0.7, w.answers(429))
}

func TestLLMFaultOnConnectionsConforms(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.3", "65572")
	w.conforms("llm-fault", `{"mode":"refused"}`, 0.5, w.fails(syscall.ECONNREFUSED))
	w.conforms("llm-fault", `{"mode":"black-hole"}`, 0.25, w.fails(context.DeadlineExceeded))
}

func TestTLSFaultConforms(t *testing.T) {
	w := newSecureWire(t, "llm", "127.0.3.11", "65580")
	w.conforms("llm-fault", `{"mode":"tls"}`, 0.4, w.mistrusted)
}

func TestDNSFaultConforms(t *testing.T) {
	w := newSecureWire(t, "service", "127.0.3.12", "65581")
	w.conforms("http-fault", `{"mode":"dns"}`, 0.4, w.unknown)
}

// mistrusted returns nil if who verifies gets no answer.
func (w *wire) mistrusted(ctx context.Context) error {
	bad := new(tls.CertificateVerificationError)
	if status, _, err := w.ask(ctx, 5*time.Second); !errors.As(err, &bad) {
		return fmt.Errorf("got %d and %w, want a certificate that is refused", status, err)
	}
	return nil
}

// unknown returns nil if the name server does not know the member.
func (w *wire) unknown(ctx context.Context) error {
	d := w.spec.FaultPoint.DNS
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.Listen)
	}}
	said := new(net.DNSError)
	if ips, err := r.LookupHost(ctx, d.Names["a"]+"."); !errors.As(err, &said) || !said.IsNotFound {
		return fmt.Errorf("got %v and %w, want a name that is not found", ips, err)
	}
	return nil
}

func TestHTTPFaultConforms(t *testing.T) {
	w := newWire(t, "service", "127.0.3.4", "65573")
	w.conforms("http-fault", `{"mode":"status","status":502,"body":"bad gateway"}`, 0.4, w.answers(502))
}

// Every mode is seen by its witness while it acts, and not when it does not.
func TestWitnessSeesEveryMode(t *testing.T) {
	models := newWire(t, "llm", "127.0.3.5", "65574")
	service := newWire(t, "service", "127.0.3.6", "65575")
	secure := newSecureWire(t, "llm", "127.0.3.13", "65582")
	for _, c := range []struct {
		w          *wire
		kind, with string
		want       string
	}{
		{models, "llm-fault", `{"mode":"refused"}`, "was refused"},
		{models, "llm-fault", `{"mode":"reset"}`, "was reset"},
		{models, "llm-fault", `{"mode":"reset","share":0.5}`, "was reset"},
		{models, "llm-fault", `{"mode":"black-hole","models":["small"]}`, "had no answer after"},
		{models, "llm-fault", `{"mode":"unauthorized"}`, "got 401"},
		{models, "llm-fault", `{"mode":"forbidden"}`, "got 403"},
		{models, "llm-fault", `{"mode":"model-gone"}`, "got 404"},
		{models, "llm-fault", `{"mode":"rate-limited","retryAfter":"2s"}`, "got 429"},
		{models, "llm-fault", `{"mode":"status","status":529,"paths":["/v1/emb"]}`, "got 529"},
		{models, "llm-fault", `{"mode":"latency"}`, "had no answer after"},
		{models, "llm-fault", `{"mode":"slow-first-token"}`, "no more than a header"},
		{models, "llm-fault", `{"mode":"stall"}`, "and no more within"},
		{models, "llm-fault", `{"mode":"cut"}`, "without [DONE]"},
		{models, "llm-fault", `{"mode":"malformed-sse","share":0.5}`, "no JSON"},
		{models, "llm-fault", `{"mode":"truncated-json"}`, "within its JSON"},
		{models, "llm-fault", `{"mode":"empty-choice"}`, "without a choice"},
		{models, "llm-fault", `{"mode":"empty-choice","models":["vectors"]}`, "without a choice"},
		{models, "llm-fault", `{"mode":"wrong-model","model":"other"}`, `of model "other"`},
		{secure, "llm-fault", `{"mode":"tls"}`, "found a certificate whose time was over on "},
		{secure, "llm-fault", `{"mode":"tls","tls":"untrusted"}`, "not to be trusted (x509: certificate signed by unknown authority"},
		{secure, "llm-fault", `{"mode":"tls","tls":"handshake"}`, "broken off (tls: internal error)"},
		{secure, "llm-fault", `{"mode":"dns"}`, "cannot be made: a.models.lab is NXDOMAIN at 127.0.3.13:5353"},
		{secure, "llm-fault", `{"mode":"dns","dns":"servfail"}`, "is SERVFAIL at"},
		{secure, "llm-fault", `{"mode":"dns","dns":"timeout"}`, "had no answer from 127.0.3.13:5353 after"},
		{secure, "llm-fault", `{"mode":"cut"}`, "without [DONE]"},
		{secure, "llm-fault", `{"mode":"refused"}`, "was refused"},
		{secure, "llm-fault", `{"mode":"reset"}`, "was reset"},
		{secure, "llm-fault", `{"mode":"black-hole"}`, "had no answer after"},
		{service, "http-fault", `{"mode":"reset"}`, "was reset"},
		{service, "http-fault", `{"mode":"latency","delay":"200ms"}`, "had no answer after 200ms"},
		{service, "http-fault", `{"mode":"stall","paths":["/"]}`, "and no more within"},
		{service, "http-fault", `{"mode":"cut"}`, "ended in good order"},
	} {
		t.Run(c.with, func(t *testing.T) {
			target, err := c.w.target("a")()
			require.NoError(t, err)
			f := build(t, c.kind, c.with)
			u, err := f.Prepare(t.Context(), target)
			require.NoError(t, err)
			assert.NotContains(t, string(u.Data), vendorKey)
			require.NoError(t, f.Inject(t.Context(), target, u))
			require.NoError(t, f.(drills.Holder).Held(t.Context(), u))
			said, err := f.(drills.Confirmer).Confirm(t.Context(), target, u)
			require.NoError(t, err)
			assert.Contains(t, said, "own request through "+c.w.spec.FaultPoint.Listen["a"])
			assert.Contains(t, said, c.want)
			require.NoError(t, f.Revert(t.Context(), u))
			assert.ErrorContains(t, f.(drills.Holder).Held(t.Context(), u), "does not make the fault any more")
			passes(t, f.(drills.Confirmer), target, u)
			hit := 0
			for x, err := range f.(drills.Wire).Exchanges(t.Context(), u) {
				require.NoError(t, err)
				if x.Fault != "" {
					assert.Contains(t, c.with, x.Fault)
					hit++
				}
			}
			if !strings.Contains(c.with, "refused") && !strings.Contains(c.with, `"dns"`) {
				assert.NotZero(t, hit, "the exchanges tell of the fault")
			}
		})
	}
}

// passes looks for a fault that is no longer there: the witness must say that it was
// answered. One that only had no time to see the fault is given more.
func passes(t *testing.T, c drills.Confirmer, target drills.Target, u drills.Undo) {
	t.Helper()
	answered := regexp.MustCompile(`got 200 with \d+ bytes|own TLS handshake with \S+ succeeds|got NOERROR with \[127\.`)
	for within := 50 * time.Millisecond; ; within *= 4 {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		said, err := c.Confirm(ctx, target, u)
		cancel()
		require.Error(t, err, said)
		if answered.MatchString(err.Error()) {
			return
		}
		require.Less(t, within, 5*time.Second, "%v: want an answer", err)
	}
}

// The fault point is killed in the middle of the fault: the fault was not in force
// all the time, and undoing it brings the way to the members back.
func TestFaultPointThatDiesIsBroughtBack(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.7", "65576")
	target, err := w.target("a")()
	require.NoError(t, err)
	f := build(t, "llm-fault", `{"mode":"quota"}`)
	u, err := f.Prepare(t.Context(), target)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), target, u))
	require.NoError(t, w.die(t.Context()))
	require.ErrorIs(t, f.(drills.Holder).Held(t.Context(), u), faultpoint.ErrDown)
	_, err = f.Prepare(t.Context(), target)
	require.ErrorContains(t, err, "start it with: firedrill faultpoint serve --socket ")
	require.ErrorContains(t, err, "--point a=127.0.3.7:8001=http://127.0.3.7:8000 --point b=127.0.3.7:8002=http://127.0.3.7:8009")

	require.NoError(t, build(t, "llm-fault", `{"mode":"quota"}`).Revert(t.Context(), u))
	require.NoError(t, w.passes(t.Context()))
	ps, err := owned(w.user)
	require.NoError(t, err)
	require.Len(t, ps, 1)
	assert.Equal(t, ps[0].PID, ps[0].Session, "in a session of its own")
	require.ErrorContains(t, f.(drills.Holder).Held(t.Context(), u), "no longer the process that it was")
	require.ErrorContains(t, f.Inject(t.Context(), target, u), "no longer the process that it was")
	var last error
	for _, err := range f.(drills.Wire).Exchanges(t.Context(), u) {
		last = err
	}
	assert.ErrorContains(t, last, "was started again")
}

// With it, its TLS and its names are there again.
func TestFaultPointWithTLSAndNamesIsBroughtBack(t *testing.T) {
	w := newSecureWire(t, "llm", "127.0.3.14", "65583")
	target, err := w.target("a")()
	require.NoError(t, err)
	for _, mode := range []string{"tls", "dns"} {
		f := build(t, "llm-fault", `{"mode":"`+mode+`"}`)
		u, err := f.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, f.Inject(t.Context(), target, u))
		require.NoError(t, w.die(t.Context()))
		require.ErrorIs(t, f.(drills.Holder).Held(t.Context(), u), faultpoint.ErrDown)
		_, err = f.Prepare(t.Context(), target)
		require.ErrorContains(t, err, " --tls-cert "+w.spec.FaultPoint.TLS.Cert+" --tls-key "+w.spec.FaultPoint.TLS.Key+
			" --dns-listen 127.0.3.14:5353 --dns-name a=a.models.lab --dns-name b=b.models.lab")
		require.NoError(t, build(t, "llm-fault", `{"mode":"`+mode+`"}`).Revert(t.Context(), u))
		require.NoError(t, w.passes(t.Context()))
		require.Error(t, w.unknown(t.Context()))
	}
}

// What the fault point cannot do, or what would not be seen, is refused before
// anything is touched.
func TestPrepareOfTLSAndDNSFaultsSaysWhatIsMissing(t *testing.T) {
	plain, secure := newWire(t, "llm", "127.0.3.15", "65584"), newSecureWire(t, "llm", "127.0.3.16", "65585")
	dir, _ := controltest.Dir(t)
	for _, c := range []struct {
		w          *wire
		mode, want string
		change     func(*topology.FaultPointSpec)
	}{
		{plain, "tls", "give faultPoint tls (cert, key) in the topology file", nil},
		{plain, "dns", "give faultPoint dns (listen, names: {a: NAME}) in the topology file", nil},
		{plain, "status", "listens without TLS, unlike the topology file: start it again with: firedrill faultpoint serve ", func(p *topology.FaultPointSpec) {
			p.TLS = secure.spec.FaultPoint.TLS
		}},
		{plain, "status", "does not resolve a.models.lab, unlike", func(p *topology.FaultPointSpec) { p.DNS = secure.spec.FaultPoint.DNS }},
		{secure, "status", "listens with TLS, unlike", func(p *topology.FaultPointSpec) { p.TLS = nil }},
		{secure, "dns", "names: {a: NAME}", func(p *topology.FaultPointSpec) {
			p.DNS = &topology.FaultPointDNS{Listen: p.DNS.Listen, Names: map[string]string{"b": "b.models.lab"}}
		}},
		{secure, "dns", "own question for a.models.lab at 127.0.3.16:1, want 127.0.3.16: ask name server", func(p *topology.FaultPointSpec) {
			p.DNS = &topology.FaultPointDNS{Listen: "127.0.3.16:1", Names: p.DNS.Names}
		}},
		{secure, "tls", "own TLS handshake with 127.0.3.16:8001 fails without a fault: tls: failed to verify certificate", func(p *topology.FaultPointSpec) {
			p.TLS = certificate(t, dir, "a.models.lab")
		}},
		{secure, "tls", "faultPoint.tls.ca: open /nowhere", func(p *topology.FaultPointSpec) { p.TLS = &topology.FaultPointTLS{Cert: "x", Key: "x", CA: "/nowhere"} }},
	} {
		s := c.w.spec
		p := *s.FaultPoint
		if s.FaultPoint = &p; c.change != nil {
			c.change(&p)
		}
		target, err := injectortest.OpenPart(kinds, s, []string{"a"})
		require.NoError(t, err)
		_, err = build(t, "llm-fault", `{"mode":"`+c.mode+`"}`).Prepare(t.Context(), target)
		assert.ErrorContains(t, err, c.want)
	}
}

// A member that does not answer by itself does not keep a fault from being undone.
func TestFaultOfAMemberThatIsDownCanBeUndone(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.8", "65577")
	target, err := w.target("b")()
	require.NoError(t, err)
	f := build(t, "llm-fault", `{"mode":"status"}`)
	u, err := f.Prepare(t.Context(), target)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), target, u))
	said, err := f.(drills.Confirmer).Confirm(t.Context(), target, u)
	require.NoError(t, err)
	assert.Contains(t, said, "got 503")
	require.NoError(t, f.Revert(t.Context(), u))
}

func TestWireFaultsAccountForEveryRequest(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.9", "65578")
	target, err := w.target("a")()
	require.NoError(t, err)
	f := build(t, "llm-fault", `{"mode":"status","status":500}`)
	u, err := f.Prepare(t.Context(), target)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), target, u))
	require.NoError(t, w.answers(500)(t.Context()))
	require.NoError(t, f.Revert(t.Context(), u))
	require.NoError(t, w.passes(t.Context()))
	var got []timeline.Exchange
	// An answer reaches who asked before the fault point writes it down.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		got = nil
		for x, err := range f.(drills.Wire).Exchanges(t.Context(), u) {
			require.NoError(c, err)
			x.From, x.To = time.Time{}, time.Time{}
			if x.ID != "" {
				got = append(got, x)
			}
		}
		assert.GreaterOrEqual(c, len(got), 2)
	}, 30*time.Second, 10*time.Millisecond)
	const path = "/v1/chat/completions"
	assert.Equal(t, []timeline.Exchange{
		{ID: "test", Member: "a", Path: path, Model: "small", Fault: "status"},
		{ID: "test", Member: "a", Path: path, Model: "small", Status: 200, Billed: true, Delivered: true},
	}, got)
}

func TestPrepareOfWireFaultsSaysWhatIsMissing(t *testing.T) {
	w := newWire(t, "llm", "127.0.3.10", "65579")
	prepare := func(with string, change func(*topology.ComponentSpec)) error {
		s := w.spec
		p := *s.FaultPoint
		s.FaultPoint = &p
		change(&s)
		target, err := injectortest.OpenPart(kinds, s, []string{"a"})
		require.NoError(t, err)
		_, err = build(t, "llm-fault", with).Prepare(t.Context(), target)
		return err
	}
	none := func(*topology.ComponentSpec) {}
	status := `{"mode":"status"}`
	require.NoError(t, prepare(status, none))
	for _, c := range []struct {
		with, want string
		change     func(*topology.ComponentSpec)
	}{
		{status, "give it faultPoint (socket, listen)", func(s *topology.ComponentSpec) { s.FaultPoint = nil }},
		{status, "add a: HOST:PORT to faultPoint.listen", func(s *topology.ComponentSpec) { s.FaultPoint.Listen = map[string]string{"b": "x"} }},
		{status, "listens at 127.0.3.10:8001 for member a, the topology file says faultPoint.listen 127.0.3.10:9", func(s *topology.ComponentSpec) {
			s.FaultPoint.Listen = map[string]string{"a": "127.0.3.10:9"}
		}},
		{status, "want an absolute path", func(s *topology.ComponentSpec) { s.FaultPoint.Socket = "s" }},
		{status, "is of kind \"service\": want one of kind llm", func(s *topology.ComponentSpec) { s.Kind, s.With = "service", nil }},
		{status, "FIREDRILL_TEST_NO_SUCH_KEY is not set", func(s *topology.ComponentSpec) {
			s.With = json.RawMessage(`{"models":{"chat":"small"},"vendors":{"a":{"key":"env:FIREDRILL_TEST_NO_SUCH_KEY"}}}`)
		}},
		{`{"mode":"status","keys":["env:FIREDRILL_TEST_NO_SUCH_KEY"]}`, "FIREDRILL_TEST_NO_SUCH_KEY is not set", none},
		{`{"mode":"status","paths":["/v1/images"]}`, "no request of firedrill's own would be hit", none},
		{`{"mode":"malformed-sse","paths":["/v1/embeddings"]}`, "needs answers that are streamed", none},
		{`{"mode":"wrong-model","model":"small"}`, "is the one that is asked for", none},
	} {
		assert.ErrorContains(t, prepare(c.with, c.change), c.want, c.with)
	}

	target, err := w.target("a")()
	require.NoError(t, err)
	f := build(t, "llm-fault", status)
	u, err := f.Prepare(t.Context(), target)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), target, u))
	require.ErrorContains(t, prepare(`{"mode":"cut"}`, none), "makes a fault for member a already (status, ")
	require.NoError(t, f.Revert(t.Context(), u))

	for with, want := range map[string]string{
		`{"mode":"tls","tls":"old"}`: "want expired, untrusted or handshake", `{"mode":"dns","share":0.5}`: "before a request is read", `{}`: "mode: \"\"",
		`{"mode":"refused","keys":["env:X"]}`: "before a request is read", `{"mode":"cut","expires":"0s"}`: "expires: must be longer",
	} {
		_, err := injectors.All(kinds).Build("llm-fault", json.RawMessage(with))
		assert.ErrorContains(t, err, want)
	}
	_, err = injectors.All(kinds).Build("http-fault", json.RawMessage(`{"mode":"quota"}`))
	assert.ErrorContains(t, err, "want one of [refused reset")
}
