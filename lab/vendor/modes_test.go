package vendor_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/spec"
	"firedrill/lab/vendor"
)

// TestModes shows each mode as the official client hears it, and as the log has it.
func TestModes(t *testing.T) {
	t.Parallel()
	const whole, vector = `"canary 4711" stop`, "8 numbers"
	same := func(said string) [3]string { return [3]string{said, said, said} }
	for _, c := range []struct {
		mode  vendor.Mode
		heard [3]string // chat, stream, embedding
		log   [3]string
	}{
		{vendor.Mode{}, [3]string{whole, whole, vector}, same("200 complete")},
		{vendor.Mode{Name: vendor.Refused}, same("nothing: refused"), same("")},
		{vendor.Mode{Name: vendor.Reset}, same("nothing: reset"), same("reset")},
		{vendor.Mode{Name: vendor.BlackHole}, same("nothing: timeout"), same("black-hole aborted")},
		{vendor.Mode{Name: vendor.Unauthorized}, same("nothing: 401 invalid_request_error invalid_api_key"), same("unauthorized 401")},
		{vendor.Mode{Name: vendor.Forbidden}, same("nothing: 403 request_forbidden unsupported_country_region_territory"), same("forbidden 403")},
		{vendor.Mode{Name: vendor.ModelGone}, same("nothing: 404 invalid_request_error model_not_found"), same("model-gone 404")},
		{vendor.Mode{Name: vendor.RateLimited}, same("nothing: 429 requests rate_limit_exceeded"), same("rate-limited 429")},
		{vendor.Mode{Name: vendor.Quota}, same("nothing: 429 insufficient_quota insufficient_quota"), same("quota 429")},
		{vendor.Mode{Name: vendor.Status, Status: 500}, same("nothing: 500 server_error"), same("status 500")},
		{vendor.Mode{Name: vendor.Status, Status: 502}, same("nothing: 502"), same("status 502")}, // a page
		{vendor.Mode{Name: vendor.Status, Status: 503}, same("nothing: 503 server_error"), same("status 503")},
		{vendor.Mode{Name: vendor.Status, Status: 529}, same("nothing: 529 overloaded_error"), same("status 529")},
		{vendor.Mode{Name: vendor.Latency, Delay: ms(50)}, [3]string{whole, whole, vector}, same("latency 200 complete late")},
		{
			vendor.Mode{Name: vendor.SlowFirstToken, Delay: ms(50)},
			[3]string{whole, whole, vector},
			same("slow-first-token 200 complete late"),
		},
		{
			vendor.Mode{Name: vendor.Stall, After: 1},
			[3]string{"nothing: timeout", `"cana": timeout`, "nothing: timeout"},
			same("stall 200 aborted"),
		},
		{vendor.Mode{Name: vendor.Stall, After: 1, Delay: ms(50)}, [3]string{whole, whole, vector}, same("stall 200 complete")},
		{
			vendor.Mode{Name: vendor.Cut, After: 1},
			// Only the finish reason tells that a stream was cut: to the client it is a success.
			[3]string{"nothing: unexpected EOF", `"cana"`, "nothing: unexpected EOF"},
			same("cut 200"),
		},
		{
			vendor.Mode{Name: vendor.MalformedSSE, After: 1},
			[3]string{whole, `"cana": bad JSON`, vector},
			[3]string{"200 complete", "malformed-sse 200", "200 complete"},
		},
		{
			vendor.Mode{Name: vendor.GarbledSSE, After: 1},
			[3]string{whole, `"cana 4711" stop`, vector},
			[3]string{"200 complete", "garbled-sse 200", "200 complete"},
		},
		{
			vendor.Mode{Name: vendor.TruncatedJSON, After: 1},
			// Events end with a blank line: clients drop one that the stream ends within.
			[3]string{"nothing: unexpected EOF", `"cana"`, "nothing: unexpected EOF"},
			same("truncated-json 200"),
		},
		{vendor.Mode{Name: vendor.EmptyChoice}, same("nothing"), same("empty-choice 200")},
		{
			vendor.Mode{Name: vendor.WrongModel},
			[3]string{whole + " by another-m", whole + " by another-m", vector + " by another-m"},
			same("wrong-model 200 complete"),
		},
		{vendor.Mode{Name: vendor.HTML}, [3]string{"nothing: HTML", "nothing", "nothing: HTML"}, same("html 200")},
		{
			vendor.Mode{Name: vendor.WrongEmbedding, Dimension: 5},
			[3]string{whole, whole, "5 numbers"},
			[3]string{"200 complete", "200 complete", "wrong-embedding 200 complete"},
		},
	} {
		t.Run(c.mode.Name, func(t *testing.T) {
			t.Parallel()
			v := start(t, nil)
			require.NoError(t, v.SetMode(c.mode))
			within := 20 * time.Second
			if c.mode.Name == vendor.BlackHole || c.mode.Name == vendor.Stall && c.mode.Delay == 0 {
				within = time.Second
			}
			ctx := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				t.Cleanup(cancel)
				return ctx
			}
			api := client(t, v)
			heard := [3]string{
				chat(ctx(), api, "chat", canary).String(), stream(ctx(), api, "stream", canary).String(), embed(ctx(), api, "embed", "x").String(),
			}
			require.Equal(t, c.heard, heard, "%+v: chat, stream, embedding", c.mode)
			for i, id := range []string{"chat", "stream", "embed"} {
				if c.log[i] == "" {
					require.Empty(t, v.ByID(id))
					continue
				}
				require.Equal(t, c.log[i], logged(entry(t, v, id), c.mode), "%+v: log of %s", c.mode, id)
			}
		})
	}
}

func ms(n int) spec.Duration { return spec.Duration(time.Duration(n) * time.Millisecond) }

// logged is an entry in short.
func logged(e vendor.Entry, m vendor.Mode) string {
	var out []string
	for _, part := range []struct {
		is   bool
		says string
	}{
		{e.Mode != "", e.Mode},
		{e.Status != 0, strconv.Itoa(e.Status)},
		{e.Complete, "complete"},
		// The client may go away when it has read half an event: the rest may be sent by then.
		{e.Aborted && m.Name != vendor.MalformedSSE, "aborted"},
		{m.Delay > 0 && m.Name != vendor.Stall && e.First.Sub(e.From) >= m.Delay.Std(), "late"},
	} {
		if part.is {
			out = append(out, part.says)
		}
	}
	return strings.Join(out, " ")
}
