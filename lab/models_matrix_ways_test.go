package lab_test

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/spec"
	"firedrill/injectors"
	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// way is one way in which a fault point fails a vendor.
type way struct {
	// mode is that of llm-fault, and kind tells ways of the same mode apart.
	mode, kind string
	// with are its parameters beside the mode.
	with map[string]any
	// asks is what is asked, more how often once more than that.
	asks []question
	more int
	// spares tells that it is a fault for others: nobody is hit.
	spares bool
}

func (w way) String() string { return strings.TrimSuffix(w.mode+"-"+w.kind, "-") }

// instead is the status that the fault point answers with in the vendor's place, 0
// if it does not.
func (w way) instead() int {
	if status, is := w.with["status"].(int); is {
		return status
	}
	return map[string]int{
		vendor.Unauthorized: http.StatusUnauthorized, vendor.Forbidden: http.StatusForbidden, vendor.ModelGone: http.StatusNotFound,
		vendor.RateLimited: http.StatusTooManyRequests, vendor.Quota: http.StatusTooManyRequests,
	}[w.mode]
}

// ways are all modes of llm-fault, and those with several faces in each; those that
// never end come last. What happens to a connection is the same whatever is asked.
func (l *matrix) ways(t *testing.T) []way {
	key := spec.Secret("file:" + filepath.Join(t.TempDir(), "key"))
	require.NoError(t, os.WriteFile(strings.TrimPrefix(string(key), "file:"), []byte("sk-somebody-elses"), 0o600))
	status := func(n int) map[string]any { return map[string]any{"status": n} }
	to := func(k spec.Secret) map[string]any { return map[string]any{"status": 503, "keys": []spec.Secret{k}} }
	return []way{
		{mode: vendor.Refused, asks: chats},
		{mode: vendor.Reset, asks: chats},
		{mode: tlsMode, asks: chats},
		{mode: tlsMode, kind: faultpoint.Untrusted, with: map[string]any{"tls": faultpoint.Untrusted}, asks: streams},
		{mode: tlsMode, kind: faultpoint.Handshake, with: map[string]any{"tls": faultpoint.Handshake}, asks: streams},
		{mode: dnsMode, asks: chats},
		{mode: dnsMode, kind: faultpoint.ServFail, with: map[string]any{"dns": faultpoint.ServFail}, asks: streams},
		{mode: dnsMode, kind: faultpoint.Timeout, with: map[string]any{"dns": faultpoint.Timeout}, asks: streams},
		{mode: vendor.Unauthorized, asks: questions},
		{mode: vendor.Forbidden, asks: questions},
		{mode: vendor.ModelGone, asks: questions},
		{mode: vendor.RateLimited, asks: questions},
		{mode: vendor.RateLimited, kind: "retry-after", with: map[string]any{"retryAfter": "1s"}, asks: chats},
		{mode: vendor.Quota, asks: questions},
		{mode: vendor.Status, kind: "503", with: status(503), asks: questions},
		{mode: vendor.Status, kind: "500", with: status(500), asks: chats},
		{mode: vendor.Status, kind: "502", with: status(502), asks: chats},
		{mode: vendor.Status, kind: "529", with: status(529), asks: chats},
		{mode: vendor.Status, kind: "share", with: map[string]any{"status": 529, "share": 0.5, "seed": 1}, asks: streams, more: 6},
		{mode: vendor.Status, kind: "key", with: to(l.cfg.Key), asks: streams},
		{mode: vendor.Status, kind: "other-key", with: to(key), asks: streams, spares: true},
		{mode: vendor.Latency, asks: chats},
		{mode: vendor.SlowFirstToken, asks: chats},
		{mode: vendor.Cut, asks: questions},
		{mode: vendor.MalformedSSE, asks: chats},
		{mode: vendor.TruncatedJSON, asks: questions},
		{mode: vendor.EmptyChoice, asks: questions},
		{mode: vendor.WrongModel, asks: questions},
		{mode: vendor.Stall, asks: questions},
		{mode: vendor.BlackHole, asks: chats},
	}
}

// Every mode of llm-fault is in the matrix, and every way of those that have several.
func TestModelMatrixHasEveryMode(t *testing.T) {
	has := map[string]map[any]bool{"Mode": {}, "TLS": {faultpoint.Expired: true}, "DNS": {faultpoint.NXDomain: true}}
	for _, w := range (&matrix{modelLab: &modelLab{}}).ways(t) {
		has["Mode"][w.mode] = true
		for field, name := range map[string]string{"TLS": "tls", "DNS": "dns"} {
			if way, is := w.with[name]; is {
				has[field][way] = true
			}
		}
	}
	for name, ways := range has {
		field, _ := reflect.TypeFor[injectors.LLMFaultSpec]().FieldByName(name)
		all := map[any]bool{}
		for word := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
			if value, is := strings.CutPrefix(word, "enum="); is {
				all[value] = true
			}
		}
		assert.Equal(t, all, ways, name)
	}
}
