package faultpoint

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"time"
)

// State is what a fault point says about itself.
type State struct {
	// Instance is new with every start of the process.
	Instance string    `json:"instance"`
	PID      int       `json:"pid"`
	Since    time.Time `json:"since"`
	// Next is the number of the next exchange in the log.
	Next uint64 `json:"next"`
	// DNS is where it listens as a name server, "" if it does not.
	DNS    string       `json:"dns,omitempty"`
	Points []PointState `json:"points"`
	Faults []FaultState `json:"faults"`
}

// PointState is how one point is.
type PointState struct {
	Point
	// TLS tells that it listens with TLS.
	TLS bool `json:"tls,omitempty"`
	// Name is what resolves to it, in lower case with the last dot.
	Name string `json:"name,omitempty"`
	// Listening is false while connections are refused.
	Listening   bool `json:"listening"`
	Connections int  `json:"connections"`
	// Requests counts those since the start.
	Requests uint64 `json:"requests"`
	// Trouble is what went wrong last on the way to the member, with its time.
	Trouble string `json:"trouble,omitempty"`
}

// FaultState is a fault in force. Its keys are left out.
type FaultState struct {
	Fault
	// Keyed tells that only requests with certain keys are hit.
	Keyed bool `json:"keyed,omitempty"`
	// Hits counts the requests that were hit; faults on connections count none.
	Hits uint64 `json:"hits"`
}

// logHead is the first line of what GET /exchanges answers.
type logHead struct {
	Instance string `json:"instance"`
	// Dropped is how many exchanges that were asked for are no longer kept.
	Dropped uint64 `json:"dropped,omitempty"`
}

// api is what the socket serves.
func (s *server) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.state()) })
	mux.HandleFunc("PUT /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, parseLimit))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.ID = r.PathValue("id")
		done(w, s.set(f, issued(r)))
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		done(w, s.clear(r.PathValue("id"), issued(r)))
	})
	mux.HandleFunc("GET /exchanges", s.exchanges)
	return mux
}

// issued is when the client sent the request, by the host's clock since its start.
func issued(r *http.Request) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get("issued"), 10, 64)
	return n
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}

func (s *server) state() State {
	st := State{
		Instance: s.instance, PID: os.Getpid(), Since: s.since, Next: s.log.end(),
		Points: []PointState{}, Faults: []FaultState{},
	}
	if s.names != nil {
		st.DNS = s.names.listen
	}
	for _, p := range s.points {
		p.mu.Lock()
		ps := PointState{Point: p.Point, TLS: p.tls != nil, Name: s.names.of(p), Listening: p.listener != nil, Connections: len(p.open), Requests: p.count.Load()}
		p.mu.Unlock()
		if wrong := p.wrong.Load(); wrong != nil {
			ps.Trouble = *wrong
		}
		st.Points = append(st.Points, ps)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.faults {
		fs := FaultState{Fault: a.Fault, Keyed: len(a.Keys) > 0, Hits: a.hits.Load()}
		fs.Keys = nil
		st.Faults = append(st.Faults, fs)
	}
	return st
}

// pageSize is how many exchanges are copied at once: those that are under way wait
// for the log meanwhile.
const pageSize = 1000

// exchanges writes the log from number "since" up to now, one exchange a line.
func (s *server) exchanges(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	if err != nil {
		http.Error(w, "since: want a number", http.StatusBadRequest)
		return
	}
	to := s.log.end()
	page, dropped := s.log.page(from, pageSize)
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	_ = enc.Encode(logHead{Instance: s.instance, Dropped: dropped})
	for len(page) > 0 && page[0].Seq < to {
		for _, x := range page {
			if enc.Encode(x) != nil {
				return // nobody reads any more
			}
		}
		from = page[len(page)-1].Seq + 1
		page, _ = s.log.page(from, pageSize)
	}
	_ = out.Flush()
}
