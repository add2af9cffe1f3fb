package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// service answers requests. /healthz answers as long as the program runs, /ready
// once it is ready and until it is told to end; these two are not written down.
// Any other path answers with the pod's name; with ?wait=DURATION after that time.
type service struct {
	pod     string
	readyAt time.Time
	leaving atomic.Bool
	book    *book
}

func newService(o options) (*service, error) {
	b, err := openBook(o.log)
	if err != nil {
		return nil, err
	}
	pod, err := os.Hostname()
	return &service{pod: pod, readyAt: time.Now().Add(o.readyAfter), book: b}, err
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		fmt.Fprintln(w, "ok")
	case "/ready":
		if s.leaving.Load() || time.Now().Before(s.readyAt) {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	default:
		s.answer(w, r)
	}
}

// answered is the line that is written down for a request.
type answered struct {
	// Time is when the request arrived; the pod's clock is the node's.
	Time time.Time `json:"time"`
	Pod  string    `json:"pod"`
	// ID is the request's header X-Request-Id.
	ID     string `json:"id,omitempty"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
	// Seconds is how long the answer took.
	Seconds float64 `json:"seconds"`
	// Error says why the answer did not go out whole.
	Error string `json:"error,omitempty"`
}

func (s *service) answer(w http.ResponseWriter, r *http.Request) {
	line := answered{Time: time.Now(), Pod: s.pod, ID: r.Header.Get("X-Request-Id"), Method: r.Method, Path: r.URL.Path}
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err == nil {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
	}
	line.Status = http.StatusOK
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Served-By", s.pod)
	if line.ID != "" {
		w.Header().Set("X-Request-Id", line.ID)
	}
	err = json.NewEncoder(w).Encode(map[string]string{"pod": s.pod, "id": line.ID})
	if gone := r.Context().Err(); err == nil {
		err = gone
	}
	if err != nil {
		line.Error = err.Error()
	}
	line.Seconds = time.Since(line.Time).Seconds()
	s.book.write(line)
}

// book is where requests are written down, one JSON object in each line.
type book struct {
	mu   sync.Mutex
	to   io.Writer
	file *os.File
}

// openBook appends to the file, if one is named, and writes to standard output.
func openBook(path string) (*book, error) {
	if path == "" {
		return &book{to: os.Stdout}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &book{to: io.MultiWriter(f, os.Stdout), file: f}, nil
}

func (b *book) write(line answered) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // plain data
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = b.to.Write(append(text, '\n')) // a pod whose log is lost still answers
}

func (b *book) close() {
	if b.file != nil {
		_ = b.file.Close()
	}
}
