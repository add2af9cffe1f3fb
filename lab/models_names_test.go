package lab_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/injectors/faultpoint"
	"firedrill/lab"
	"firedrill/lab/labtest"
)

// Gateways verify certificates, and resolve names anew: a handshake that fails and a
// name that is gone are the outage of one vendor, and of no other.
func TestModelLabsLoseAVendorByTLSAndByName(t *testing.T) {
	labtest.Real(t)
	built.path(t)
	for name, next := range map[string]string{"llm": "vendor-b", "llm-haproxy": "vendor-b", "llm-manual": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := upModels(t, newCaller(t, 0), name)
			point := faultpoint.NewClient(l.c.Spec.FaultPoint.Socket)
			for _, mode := range []faultpoint.Mode{faultpoint.TLS, faultpoint.DNS} {
				l.answeredBy(t, mode, "vendor-a")
				f := faultpoint.Fault{
					ID: "f", Members: []string{"vendor-a"}, Mode: mode, TLS: faultpoint.Expired, DNS: faultpoint.NXDomain,
					Share: 1, Expires: time.Now().Add(time.Hour),
				}
				require.NoError(t, point.Set(t.Context(), f))
				l.answeredBy(t, mode, next)
				st := l.caller.status(t, name)
				for _, m := range st.Members {
					assert.NotEqual(t, "down", m.Role, "the vendor itself is well")
				}
				require.NoError(t, point.Clear(t.Context(), f.ID))
				l.answeredBy(t, mode, "vendor-a")
			}
			assert.Equal(t, lab.Healthy, l.caller.status(t, name).State)
		})
	}
}

// answeredBy asks until that vendor has answered 3 times in a row, or, for "", until
// nobody has.
func (l *modelLab) answeredBy(t *testing.T, mode faultpoint.Mode, vendor string) {
	t.Helper()
	began := time.Now()
	for n, same := 0, 0; same < 3; n++ {
		a := l.chat(t, fmt.Sprintf("%s-%d", mode, n))
		if a.err != nil || a.status != http.StatusOK {
			a.by = ""
		}
		if same++; a.by != vendor {
			same = 0
		}
		require.Less(t, time.Since(began), 30*time.Second, "%s: last answer by %q: %d %.200s %v", mode, a.by, a.status, a.body, a.err)
	}
	t.Logf("%s: answered by %q after %s", mode, vendor, time.Since(began).Round(time.Millisecond))
}
