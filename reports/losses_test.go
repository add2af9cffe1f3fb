package reports

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"testing"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
)

func TestLossesInEveryFormat(t *testing.T) {
	r := reportstest.PodsLost()
	page := rendered(t, reportstest.Fixture{Name: "pods-lost", Result: r})
	has(t, page, `<h2>Pods lost and replaced</h2>`)
	has(t, page, "2 members lost; the slowest, api-6d9f-vw4nt, was in service again after 9.418 s (± 0.006 s).")
	has(t, page, `<td class="n fail">3 of 324</td>`)
	has(t, page, `8.11 s (± 400 ms)`)
	has(t, page, "at most 11 ms later")
	var md, ju bytes.Buffer
	require.NoError(t, Markdown(&md, r))
	has(t, md.String(), "**api-6d9f-2xk8q** on node-a → **api-6d9f-s7qzd** on node-b: after kill-pods, in service again:")
	require.NoError(t, JUnit(&ju, r))
	var s junit.Testsuites
	require.NoError(t, xml.Unmarshal(ju.Bytes(), &s))
	got := map[string]string{}
	for _, p := range *s.Suites[1].Properties {
		got[p.Name] = p.Value
	}
	assert.Equal(t, "2", got["losses"])
	assert.Equal(t, "3/324", got["loss.api.api-6d9f-vw4nt.image.failed"])
	assert.Equal(t, "9.423", got["loss.api.api-6d9f-vw4nt.total.hi_s"])
}

// Of many, those are drawn that took longest, and those first that are not over.
func TestManyLossesMakeASmallPage(t *testing.T) {
	r := reportstest.PodsLost()
	one := r.Losses[0]
	r.Losses = nil
	for i := range 1000 {
		l := one
		l.Member = fmt.Sprintf("api-%d", i)
		l.Total.Lo, l.Total.Hi = float64(i), new(float64(i)+0.5)
		if i == 17 {
			l.Replacement, l.Total.Hi = "", nil
			l.Phases = []verdict.LossPhase{{Name: verdict.LossCreated, To: 17, Open: true}}
		}
		r.Losses = append(r.Losses, l)
	}
	v := newLosses(r)
	require.Len(t, v.Rows, lossesShown)
	assert.Equal(t, 1000-lossesShown, v.More)
	assert.Equal(t, "1,000 members lost, 1 not replaced while the drill looked.", v.Summary)
	assert.Equal(t, "api-17", v.Rows[0].Member)
	assert.Equal(t, "more than 17 s", v.Rows[0].Total)
	assert.Equal(t, "more than 17 s", v.Rows[0].Phases[0].Took)
	assert.Equal(t, "api-999", v.Rows[lossesShown-1].Member)
	assert.Less(t, len(rendered(t, reportstest.Fixture{Name: "many", Result: r})), 1_000_000)
}
