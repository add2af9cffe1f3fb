package probes_test

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Served-By", "web-1")
	switch r.URL.Path {
	case "/denied":
		w.WriteHeader(http.StatusUnauthorized)
	case "/moved":
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusFound)
	case "/broken":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/cut":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	case "/echo":
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "you said "+r.Header.Get("Authorization"))
	default:
		fmt.Fprint(w, "hello\nworld")
	}
}

// open opens a probe that is closed with the test.
func open(t testing.TB, k drills.ProbeKind, s drills.Subject) drills.Probe {
	t.Helper()
	p, err := k.Open(t.Context(), s)
	require.NoError(t, err)
	if c, ok := p.(interface{ Close() error }); ok {
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
	}
	return p
}

// webSite starts a web server and returns its address.
func webSite(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHTTPConforms(t *testing.T) {
	probetest.Conform(t, probetest.Suite{
		Kind: build(t, "http", `{"expectBody":"^hello"}`), Correct: webSite(t, hello), Babble: []byte("220 mail ready\r\n"),
		Refused: one(timeline.Refused), Hanging: one(timeline.Timeout), Cut: one(timeline.Reset), Garbage: one(timeline.WrongAnswer),
	})
}

func TestHTTPJudges(t *testing.T) {
	address := webSite(t, hello)
	for _, c := range []struct {
		with string
		want timeline.Class
		says string
	}{
		{`{"path":"/"}`, timeline.OK, ""},
		{`{"path":"/denied"}`, timeline.Auth, "401"},
		{`{"path":"/moved"}`, timeline.WrongAnswer, "302"},
		{`{"path":"/broken"}`, timeline.Error, "503"},
		{`{"path":"/cut"}`, timeline.Reset, "read body"},
		{`{"path":"/broken","expectStatus":[200,"500-599"]}`, timeline.OK, ""},
		{`{"path":"/","expectBody":"(?m)^world$"}`, timeline.OK, ""},
		{`{"path":"/","expectBody":"bye"}`, timeline.WrongAnswer, `"hello\nworld"`},
		{`{"path":"/","scheme":"https","tls":{"insecure":true}}`, timeline.TLS, ""},
	} {
		t.Run(c.with, func(t *testing.T) {
			for _, client := range []drills.Client{drills.Fresh, drills.Pooled} {
				p := open(t, build(t, "http", c.with), drills.Subject{Address: address, Client: client, Lanes: 1})
				o, _ := probetest.Look(t, p, probetest.Patience)
				assert.Equal(t, c.want, o.Class, o.Detail)
				assert.Contains(t, o.Detail, c.says)
			}
		})
	}
}

func TestHTTPNamesTheMemberAndHidesSecrets(t *testing.T) {
	t.Setenv("PROBE_TOKEN", "s3cr3t-token")
	p := open(t, build(t, "http", `{"path":"/echo","memberHeader":"X-Served-By","secretHeaders":{"Authorization":"env:PROBE_TOKEN"}}`),
		drills.Subject{Address: webSite(t, hello), Client: drills.Fresh})
	o, _ := probetest.Look(t, p, probetest.Patience)
	assert.Equal(t, "web-1", o.By)
	assert.Equal(t, timeline.Error, o.Class)
	assert.Contains(t, o.Detail, "you said ***")

	_, err := build(t, "http", `{"secretHeaders":{"Authorization":"env:NOT_SET"}}`).Open(t.Context(), drills.Subject{Address: "127.0.0.1:1", Client: drills.Fresh})
	assert.ErrorContains(t, err, "NOT_SET")
}

// A server that takes the request on a kept connection and hangs up must be
// seen to fail: net/http's own pool would send the request again.
func TestHTTPPooledDoesNotRetry(t *testing.T) {
	var requests atomic.Int64
	address := probetest.Serve(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		for n := 0; ; n++ {
			if _, err := c.Read(buf); err != nil {
				return
			}
			requests.Add(1)
			if n == 1 {
				probetest.Reset(c)
				return
			}
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := open(t, build(t, "http", `{}`), drills.Subject{Address: address, Client: drills.Pooled, Lanes: 1})
	var got []timeline.Class
	for range 3 {
		o, _ := probetest.Look(t, p, probetest.Patience)
		got = append(got, o.Class)
	}
	assert.Equal(t, []timeline.Class{timeline.OK, timeline.Reset, timeline.OK}, got)
	assert.EqualValues(t, 3, requests.Load())
}

func TestHTTPTrusts(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(hello))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	for with, want := range map[string]timeline.Class{
		`{"scheme":"https"}`:                                                         timeline.TLS,
		`{"scheme":"https","tls":{"insecure":true}}`:                                 timeline.OK,
		`{"scheme":"https","tls":{"caFile":"` + ca + `"}}`:                           timeline.OK,
		`{"scheme":"https","tls":{"caFile":"` + ca + `","serverName":"no.example"}}`: timeline.TLS,
	} {
		p := open(t, build(t, "http", with), drills.Subject{Address: s.Listener.Addr().String(), Client: drills.Pooled, Lanes: 1})
		o, _ := probetest.Look(t, p, probetest.Patience)
		assert.Equal(t, want, o.Class, "%s: %s", with, o.Detail)
	}
}

func TestHTTPRefusesNonsense(t *testing.T) {
	for with, says := range map[string]string{
		`{"scheme":"ftp"}`:             "scheme",
		`{"path":"x"}`:                 "path",
		`{"expectStatus":[99]}`:        "status 99",
		`{"expectStatus":["300-200"]}`: "300-200",
		`{"expectStatus":[]}`:          "expectStatus",
		`{"expectBody":"("}`:           "expectBody",
		`{"tls":{"insecure":true}}`:    "scheme: https",
		`{"method":"G T"}`:             "method",
		`{"follow":true}`:              "follow",
	} {
		_, err := probes.All().Build("http", []byte(with))
		assert.ErrorContains(t, err, says, with)
	}
	assert.Equal(t, "200-299, 304", probes.StatusSet{{200, 299}, {304, 304}}.String())
	assert.True(t, strings.HasPrefix(probes.StatusRange{Lo: 1, Hi: 2}.String(), "1-"))
}
