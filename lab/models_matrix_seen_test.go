package lab_test

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"firedrill/drills/timeline"
	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// try is one time that a gateway asked a vendor, as the logs have it.
type try struct {
	vendor string
	// names is the vendor that the answer names.
	names string
	// mode is what was done to it, "" if nothing was.
	mode string
	// status is that of the answer that came; 0: none.
	status int
	// whole tells that all that was asked for was sent, and nothing else.
	whole bool
	// left tells that the gateway gave it up itself.
	left bool
	// in and out are the tokens of the request, and of the answer that was sent.
	in, out int
	from    time.Time
	// first is when the first token was sent; zero: not known.
	first time.Time
	// orderly tells that what was cut ended in good order.
	orderly bool
}

func tryOf(e vendor.Entry) try {
	harmless := slices.Contains([]string{"", vendor.Latency, vendor.SlowFirstToken, vendor.Stall}, e.Mode)
	return try{
		vendor: e.Vendor, names: e.Vendor, mode: e.Mode, status: e.Status, whole: harmless && e.Complete && !e.Aborted,
		in: e.In, out: e.Tokens, from: e.From, first: e.First, orderly: e.Stream,
	}
}

// seen is what a client sees.
type seen struct {
	outcome timeline.Outcome
	class   timeline.Class
	status  int
	by      string
}

func (s seen) String() string {
	return fmt.Sprintf("%s (%s), status %d, by %q", s.outcome, s.class, s.status, s.by)
}

// passed is what a client sees of a try whose bytes a gateway passes on.
func (y try) passed(q question) seen {
	s := seen{timeline.Failed, timeline.WrongAnswer, y.status, y.names}
	streamed := q.name == "stream"
	switch y.mode {
	case vendor.Unauthorized, vendor.Forbidden:
		s.class = timeline.Auth
	case vendor.RateLimited, vendor.Quota:
		s.class = timeline.RateLimited
	case vendor.ModelGone, vendor.Status:
		s.class = timeline.Error
	case vendor.EmptyChoice, vendor.WrongModel, vendor.WrongEmbedding:
		s.outcome = timeline.Wrong
	case vendor.HTML:
		if streamed { // what the client reads no event in is an empty stream to it
			s.outcome = timeline.Wrong
		}
	case vendor.MalformedSSE: // the client reports half an event
	case vendor.GarbledSSE: // and passes over a line that is none
		s.outcome, s.class = timeline.Cut, timeline.Truncated
	case vendor.Cut, vendor.TruncatedJSON:
		switch {
		case streamed:
			s.outcome, s.class = timeline.Cut, timeline.Truncated
		case !y.orderly && y.mode == vendor.Cut: // the connection broke before the end
			s.class = timeline.Reset
		}
	case vendor.Stall:
		s.outcome, s.class = timeline.Unanswered, timeline.Timeout
	case vendor.BlackHole:
		s = seen{outcome: timeline.Unanswered, class: timeline.Timeout}
	}
	if y.whole {
		s.outcome, s.class = timeline.Whole, timeline.OK
	}
	return s
}

// manners are how the gateway of a lab treats requests.
type manners struct {
	// inTurn: it begins with each vendor in turn, not always with the first.
	inTurn bool
	// onward tells whether it asks again after such a try, of so many at most, and
	// elsewhere whether that is the next vendor.
	onward    func(try) bool
	tries     int
	elsewhere bool
	// own is what it makes itself of a try; nothing: it passes the bytes on. silent is
	// what it says to a client when no vendor said anything.
	own    func(try, question) *seen
	silent func(*cell) []seen
}

var mannersOf = map[string]manners{
	"llm":            {onward: unsuccessful, tries: 3, elsewhere: true, own: ofPortkey, silent: silence},
	"llm-haproxy":    {onward: retried, tries: 3, silent: ofHAProxy},
	"llm-manual":     {onward: never, tries: 1, silent: ofHAProxy},
	"llm-selfhosted": {inTurn: true, onward: never, tries: 1, silent: ofHAProxy},
}

// unsuccessful: Portkey falls back on any status but 2xx, on a broken connection, and
// when an answer has not begun within 2 s.
func unsuccessful(y try) bool { return y.status/100 != 2 }

// retried: "retry-on conn-failure empty-response response-timeout 500 502 503 504".
func retried(y try) bool {
	return slices.Contains([]int{0, 500, 502, 503, 504}, y.status)
}

func never(try) bool { return false }

// ofPortkey: it reads answers that are not streamed as a whole, to write them anew,
// but passes embeddings on.
func ofPortkey(y try, q question) *seen {
	if q.name != "chat" {
		return nil
	}
	switch y.mode {
	case vendor.Cut, vendor.TruncatedJSON: // what it cannot read is a failure of its own
		return &seen{timeline.Failed, timeline.Error, http.StatusInternalServerError, ""}
	case vendor.Stall:
		return &seen{timeline.Unanswered, timeline.Timeout, 0, ""}
	case vendor.HTML: // a page becomes a JSON object with the page in it
		return &seen{timeline.Wrong, timeline.WrongAnswer, y.status, y.names}
	}
	return nil
}

// ofHAProxy: a connection that ends without an answer is its own 502, or it closes
// the client's, for the client to ask again; and 503 if none could be made within
// 1 s, which a fault on connections can mean.
func ofHAProxy(c *cell) []seen {
	all := []seen{{timeline.Failed, timeline.Error, http.StatusBadGateway, ""}, {timeline.Failed, timeline.Reset, 0, ""}}
	if c.wire != nil {
		all = append(all, seen{timeline.Failed, timeline.Error, http.StatusServiceUnavailable, ""})
	}
	return all
}

// silence is what Portkey says of one vendor that says nothing: it asks the next.
func silence(*cell) []seen { return nil }

// mute are the modes in which a vendor says nothing, or nobody reaches it.
var mute = []string{vendor.Refused, vendor.Reset, vendor.BlackHole, tlsMode, dnsMode}

// tlsMode and dnsMode are modes of a fault point only.
const (
	tlsMode = string(faultpoint.TLS)
	dnsMode = string(faultpoint.DNS)
)
