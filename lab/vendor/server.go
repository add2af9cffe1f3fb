package vendor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// link is a connection of a client.
type link struct {
	net.Conn
	cut atomic.Bool // the vendor itself closed it
}

// linkKey finds a request's link in its context.
type linkKey struct{}

// listen opens the vendor's address and serves it. The lock is held, or nobody else
// knows the vendor yet.
func (v *Vendor) listen() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", v.address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", v.address, err)
	}
	v.listener = l
	v.work.Go(func() {
		// It ends when the listener is closed: that is how it is meant to.
		_ = v.server.Serve(l)
	})
	return nil
}

// refuse closes the listener and cuts every connection. The lock is held.
func (v *Vendor) refuse() {
	if v.listener == nil {
		return
	}
	_ = v.listener.Close() // the only error is that it is closed
	v.listener = nil
	for _, l := range v.conns {
		l.cut.Store(true)
		_ = l.Close()
	}
}

// connState keeps account of connections. One that was accepted while the listener
// was being closed is cut like the others.
func (v *Vendor) connState(c net.Conn, s http.ConnState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch s {
	case http.StateNew:
		v.accepted++
		l := v.link(c)
		if v.listener == nil {
			l.cut.Store(true)
			_ = c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		delete(v.conns, c)
	}
}

func (v *Vendor) connContext(ctx context.Context, c net.Conn) context.Context {
	v.mu.Lock()
	defer v.mu.Unlock()
	return context.WithValue(ctx, linkKey{}, v.link(c))
}

// link returns what is known of a connection. The lock is held.
func (v *Vendor) link(c net.Conn) *link {
	l := v.conns[c]
	if l == nil {
		l = &link{Conn: c}
		v.conns[c] = l
	}
	return l
}

// serve answers one request.
func (v *Vendor) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	v.work.Add(1)
	v.mu.Unlock()
	defer v.work.Done()

	x := v.open(w, r)
	defer x.close()
	if x.cut != nil {
		x.gone()
	}
	if x.broken() {
		return
	}
	if p := x.refusal(); p != nil {
		x.fail(*p)
		return
	}
	switch x.op {
	case OpModels:
		x.models()
	case OpChat:
		x.chat()
	case OpEmbedding:
		x.embed()
	case OpRerank:
		x.rerank()
	}
}

// broken applies the modes that need nothing of the request, and tells whether that
// was the answer.
func (x *exchange) broken() bool {
	switch x.mode.Name {
	case Reset:
		x.reset()
	case BlackHole:
		x.hold()
	case Latency:
		x.wait(x.mode.Delay.Std())
	case HTML:
		x.page(http.StatusOK, "Welcome", "This is not an API.")
		return true
	}
	p := x.mode.problem(x.model)
	switch {
	case p == nil || x.op == OpModels && x.mode.Name == ModelGone:
		return false
	case p.status == http.StatusBadGateway, p.status == http.StatusGatewayTimeout:
		// What stands in front of a vendor's servers says this, not they.
		x.page(p.status, fmt.Sprint(p.status, " ", http.StatusText(p.status)), "")
	default:
		x.fail(*p)
	}
	return true
}

// method is how an operation is asked for.
func method(op string) string {
	if op == OpModels {
		return http.MethodGet
	}
	return http.MethodPost
}

// refusal is why a sound vendor does not do what it was asked for, nil if it does.
// What is asked of the fields of the operation is looked at later.
func (x *exchange) refusal() *problem {
	r := x.r
	switch {
	case x.op == "":
		return &problem{
			status: http.StatusNotFound, Type: invalidRequest,
			Message: fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.URL.Path),
		}
	case r.Method != method(x.op):
		return &problem{
			status: http.StatusMethodNotAllowed, Type: invalidRequest, Code: ptr("method_not_supported"),
			Message: fmt.Sprintf("Not allowed to %s on %s. (HINT: Perhaps you meant to use a different HTTP method?)", r.Method, r.URL.Path),
		}
	case !x.key && r.Header.Get("Authorization") == "":
		return &problem{
			status: http.StatusUnauthorized, Type: invalidRequest,
			Message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
		}
	case !x.key:
		return badKey()
	case x.op == OpModels:
		return nil
	case errors.Is(x.bad, errTooLarge):
		return &problem{status: http.StatusRequestEntityTooLarge, Type: invalidRequest, Message: "The body of your request is too large."}
	case x.bad != nil:
		return invalid("", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)")
	case x.model == "":
		return invalid("model", "you must provide a model parameter")
	case !x.v.has(x.model):
		return noModel(x.model)
	}
	return nil
}
