package vendor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// adminServer is a vendor's admin API on its Unix socket:
//
//	GET /health        how the vendor is
//	PUT /mode          sets the mode
//	GET /log[?id=ID]   the log, an entry to a line
type adminServer struct {
	path   string
	server *http.Server
	done   chan struct{}
}

// serveAdmin opens the admin API, for the vendor's own user only.
func (v *Vendor) serveAdmin(path string) (*adminServer, error) {
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { reportTo(w, v.Health()) })
	mux.HandleFunc("PUT /mode", v.putMode)
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		e := json.NewEncoder(w)
		for _, entry := range v.log.all(r.URL.Query().Get("id")) {
			if err := e.Encode(entry); err != nil {
				return // the client went away
			}
		}
	})
	a := &adminServer{path: path, done: make(chan struct{})}
	a.server = &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(l) // ends when it is closed
	}()
	return a, nil
}

// listenUnix listens on a socket that only this user can connect to, from the moment
// that it is there. A socket that a dead process left is replaced.
func listenUnix(path string) (net.Listener, error) {
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path); err == nil {
		c.Close()
		return nil, errors.New("another process listens there")
	}
	fresh := fmt.Sprint(path, ".", os.Getpid())
	os.Remove(fresh) // of a process that had the same number
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", fresh)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(fresh, 0o600); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		l.Close()
		os.Remove(fresh)
		return nil, err
	}
	return l, nil
}

func (a *adminServer) close() error {
	_ = a.server.Close()
	<-a.done
	if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (v *Vendor) putMode(w http.ResponseWriter, r *http.Request) {
	var m Mode
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	if err == nil {
		err = v.SetMode(m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reportTo(w, v.Health())
}

func reportTo(w http.ResponseWriter, h Health) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(h)) // the client went away
}

// Admin sets the modes of a vendor in another process.
type Admin struct {
	socket string
	client *http.Client
}

// adminWithin bounds every call of the admin API.
const adminWithin = 10 * time.Second

// NewAdmin returns a client of the admin API on a socket; it contacts nothing.
func NewAdmin(socket string) *Admin {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	t := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &Admin{socket: socket, client: &http.Client{Transport: t, Timeout: adminWithin}}
}

// SetMode is Vendor.SetMode.
func (a *Admin) SetMode(ctx context.Context, m Mode) error {
	_, err := a.call(ctx, http.MethodPut, "/mode", encode(m))
	return err
}

// Health is Vendor.Health.
func (a *Admin) Health(ctx context.Context) (Health, error) {
	var h Health
	b, err := a.call(ctx, http.MethodGet, "/health", nil)
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	return h, err
}

// Log is Vendor.Log.
func (a *Admin) Log(ctx context.Context) ([]Entry, error) { return a.entries(ctx, "/log") }

// ByID is Vendor.ByID.
func (a *Admin) ByID(ctx context.Context, id string) ([]Entry, error) {
	return a.entries(ctx, "/log?id="+url.QueryEscape(id))
}

func (a *Admin) entries(ctx context.Context, path string) ([]Entry, error) {
	b, err := a.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	var all []Entry
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var e Entry
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("vendor at %s: read log: %w", a.socket, err)
		}
		all = append(all, e)
	}
}

// call returns the body of the answer. Anything but 200 is an error.
func (a *Admin) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://vendor"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("vendor at %s: does it run? %w", a.socket, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("vendor at %s: %w", a.socket, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("vendor at %s: %s", a.socket, bytes.TrimSpace(b))
	}
	return b, nil
}
