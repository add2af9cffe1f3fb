package lab_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/lab/vendor"
)

// TestModelMatrix fails one vendor of every lab in every way there is, first the
// vendor itself, then the fault point in front of it, and asks through the gateway.
// What the probes say of each request must be what the logs say of it.
func TestModelMatrix(t *testing.T) {
	labtest.Real(t)
	built.path(t)
	cache, err := lab.CacheDir()
	require.NoError(t, err)
	require.NoError(t, lab.FetchGateway(t.Context(), cache)) // those who are not root use root's cache
	var all table
	var labs sync.WaitGroup
	for _, name := range modelLabs { // at once, however few processors: they wait most of the time
		labs.Go(func() {
			t.Run(name, func(t *testing.T) {
				l := newMatrix(t, name)
				l.afterManyErrors(t)
				saw := l.underFaults(t)
				l.underModes(t)
				l.judgeVendors(t)
				l.judgeWire(t, saw)
				l.everyModeHit(t)
				all.add(l)
			})
		})
	}
	labs.Wait()
	t.Log(all.String())
	for of, want := range facts {
		for i, came := range all.row(of) {
			if want[i] != whenever {
				assert.Equal(t, want[i], came, "%s in %s", of, modelLabs[i])
			}
		}
	}
}

// facts are what documentation says of the labs' gateways: what came of the requests
// that the failing vendor got, or would have got.
var facts = map[string][]string{ // llm, llm-haproxy, llm-manual, llm-selfhosted
	"vendor status-503/stream":   {"whole by vendor-b", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"vendor rate-limited/stream": {"whole by vendor-b", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"vendor quota/chat":          {"whole by vendor-b", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"vendor reset/chat":          {"whole by vendor-b", "failed by nobody", "failed by nobody", "failed by nobody"},
	"vendor black-hole/chat":     {"whole by vendor-b", "unanswered by nobody", "unanswered by nobody", "unanswered by nobody"},
	"vendor cut/stream":          {"truncated by vendor-a", "truncated by vendor-a", "truncated by vendor-a", "truncated by selfhosted-1"},
	"vendor cut/chat":            {"failed by nobody", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"vendor html/chat":           {"wrong by vendor-a", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"vendor stall/stream":        {"unanswered by vendor-a", "unanswered by vendor-a", "unanswered by vendor-a", "unanswered by selfhosted-1"},
	"wire status-503/stream":     {"whole by vendor-b", "failed by nobody", "failed by nobody", "failed by nobody"},
	"wire refused/stream":        {"whole by vendor-b", whenever, "failed by nobody", "failed by nobody"},
	"wire tls/stream":            {"whole by vendor-b", whenever, "failed by nobody", whenever},
	"wire tls-untrusted/stream":  {"whole by vendor-b", whenever, "failed by nobody", whenever},
	"wire tls-handshake/stream":  {"whole by vendor-b", whenever, "failed by nobody", whenever},
	"wire dns/stream":            {"whole by vendor-b", whenever, whenever, whenever},
	"wire dns-servfail/stream":   {"whole by vendor-b", "whole by vendor-a", "whole by vendor-a", whenever},
	"wire dns-timeout/stream":    {"whole by vendor-b", "whole by vendor-a", "whole by vendor-a", whenever},
	"wire status-529/chat":       {"whole by vendor-b", "failed by nobody", "failed by nobody", "failed by nobody"},
	"wire status-share/stream":   {"whole by vendor-b", "failed by nobody", "failed by nobody", "failed by nobody"},
	"wire status-key/stream":     {"whole by vendor-b", "failed by nobody", "failed by nobody", "failed by nobody"},
	"wire empty-choice/rerank":   {"wrong by vendor-a", "wrong by vendor-a", "wrong by vendor-a", "wrong by selfhosted-1"},
	"vendor quota/rerank":        {"whole by vendor-b", "failed by vendor-a", "failed by vendor-a", "failed by selfhosted-1"},
	"wire cut/stream":            {"truncated by vendor-a", "truncated by vendor-a", "truncated by vendor-a", "truncated by selfhosted-1"},
}

// whenever is what depends on when health checks come, and what was not asked: the
// self-hosted instances are asked without TLS, by address.
const whenever = ""

// benignDelay is how late the modes are that only make an answer late.
const benignDelay = spec.Duration(150 * time.Millisecond)

// vendorModes is every mode of a vendor, and those with several faces in each. The
// health checks stay green, where a mode can choose: who is asked is the gateway's
// answer to the requests alone. Those that never end come last: some gateways go on
// asking for clients that left.
func vendorModes() []vendor.Mode {
	var all, last []vendor.Mode
	for _, name := range vendor.Modes() {
		m := vendor.Mode{Name: name, After: 2, Ops: []string{vendor.OpChat, vendor.OpEmbedding, vendor.OpRerank}}
		switch name {
		case vendor.Refused:
			m.Ops = nil
		case vendor.Status:
			for _, m.Status = range []int{500, 502, 529} {
				all = append(all, m)
			}
			m.Status = 503
		case vendor.Latency, vendor.SlowFirstToken:
			m.Delay = benignDelay
		case vendor.WrongEmbedding:
			all = append(all, m) // in a wrong space
			m.Dimension = 48
		case vendor.BlackHole, vendor.Stall:
			last = append(last, m)
			m.Delay = benignDelay
			if name == vendor.BlackHole {
				continue
			}
		}
		all = append(all, m)
	}
	return append(all, last...)
}

// label names a mode with what tells it from others of its name.
func label(m vendor.Mode) string {
	switch {
	case m.Name == vendor.Status:
		return fmt.Sprint(m.Name, "-", m.Status)
	case m.Name == vendor.WrongEmbedding && m.Dimension > 0:
		return "wrong-dimension"
	case m.Name == vendor.Stall && m.Delay > 0:
		return "short-stall"
	}
	return m.Name
}

// asks are the questions that a vendor's mode has a meaning for; of those for streams,
// one that is not streamed, too.
func asks(mode string) []question {
	switch mode {
	case vendor.WrongEmbedding:
		return questions[2:3]
	case vendor.MalformedSSE, vendor.GarbledSSE:
		return chats
	}
	return questions
}

// underModes lets the lab's first vendor fail in every way of its own.
func (l *matrix) underModes(t *testing.T) {
	for _, m := range vendorModes() {
		for qs := range l.inGroups("vendor", label(m), m.Name, asks(m.Name)) {
			var cells []*cell
			for _, q := range qs {
				cells = append(cells, l.begin(t, "vendor", label(m), m.Name, q))
			}
			require.NoError(t, l.admin(0).SetMode(t.Context(), m))
			l.askEach(t, cells, 2, 2)
			require.NoError(t, l.admin(0).SetMode(t.Context(), vendor.Mode{}))
			for _, c := range cells {
				c.end(t)
			}
		}
	}
}

// everyModeHit: no cell says nothing, but those that have no stream to break.
func (l *matrix) everyModeHit(t *testing.T) {
	for _, c := range l.cells {
		broken := c.mode == vendor.MalformedSSE || c.mode == vendor.GarbledSSE
		spared := broken && c.q.name != "stream" || c.wire != nil && c.wire.spares
		assert.Equal(t, spared, len(c.came) == 0, c.name)
		if c.wire != nil && c.wire.kind == "share" {
			assert.True(t, slices.ContainsFunc(c.during, func(r request) bool { return r.By == l.Members[0].Name }), "%s: others are not hit", c.name)
		}
	}
}

// afterManyErrors: HAProxy with backup servers fails over by the errors it has seen
// (error-limit 5), the others of the lab's gateways by no number of them.
func (l *matrix) afterManyErrors(t *testing.T) {
	c := l.begin(t, "vendor", "many-errors", vendor.Status, questions[1])
	c.skips = l.Name == "llm-haproxy"
	require.NoError(t, l.admin(0).SetMode(t.Context(), vendor.Mode{Name: vendor.Status, Status: 503, Ops: []string{vendor.OpChat}}))
	for range 12 {
		c.ask(t, 0, 1)
	}
	require.NoError(t, l.admin(0).SetMode(t.Context(), vendor.Mode{}))
	c.end(t)
	switch outcomes := c.outcomes(); l.Name {
	case "llm":
		assert.NotContains(t, outcomes, timeline.Failed)
	case "llm-haproxy":
		failed := slices.Index(outcomes, timeline.Whole)
		assert.GreaterOrEqual(t, failed, 5, "%s", outcomes)
		assert.Less(t, failed, 12, "%s", outcomes)
	case "llm-manual":
		assert.NotContains(t, outcomes, timeline.Whole)
	case "llm-selfhosted":
		assert.Len(t, slices.DeleteFunc(outcomes, func(o timeline.Outcome) bool { return o == timeline.Whole }), 4, "one in three")
	}
}

// table is what came of the requests that were meant for the failing vendor: by the
// kind of fault and the question, then by the lab.
type table struct {
	mu   sync.Mutex
	rows map[string]map[string]string
	keys []string
}

func (tb *table) add(l *matrix) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if tb.rows == nil {
		tb.rows = map[string]map[string]string{}
	}
	for _, c := range l.cells {
		if tb.rows[c.name] == nil {
			tb.rows[c.name] = map[string]string{}
			tb.keys = append(tb.keys, c.name)
		}
		tb.rows[c.name][l.Name] = strings.Join(c.came, " or ")
	}
}

func (tb *table) row(of string) (row []string) {
	for _, name := range modelLabs {
		row = append(row, tb.rows[of][name])
	}
	return row
}

func (tb *table) String() string {
	var b strings.Builder
	for _, of := range append([]string{""}, tb.keys...) {
		row := tb.row(of)
		if of == "" {
			row = modelLabs
		}
		fmt.Fprintf(&b, "\n%-38s", of)
		for _, came := range row {
			fmt.Fprintf(&b, " %-48s", came)
		}
	}
	return b.String()
}
