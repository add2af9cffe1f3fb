package faultpoint

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"firedrill/drills/timeline"
)

// poison puts one of toxiproxy's toxics behind a new connection, so that whatever
// the client sends goes to it and nothing comes back, and returns when the
// connection is gone: by the toxic, by the client, or because gone was closed.
//
// Only connections made while the fault is in force meet toxiproxy. Its own proxy
// would be a second hop for all others, cannot reset a connection that is open
// when the toxic is added, and leaves two goroutines behind for each one that it
// resets in the middle of a request.
func poison(c *conn, m Mode, gone <-chan struct{}) {
	in, out := make(chan *stream.StreamChunk), make(chan *stream.StreamChunk)
	toxic := &toxics.ToxicWrapper{Toxic: toxicOf(m), Toxicity: 1}
	stub := toxics.NewToxicStub(in, out)
	ended := make(chan struct{})
	go func() {
		for range out {
		}
		close(ended)
	}()
	go stub.Run(toxic)
	heard := &hearing{from: time.Now()}
	go feed(c, in, ended, heard)
	select {
	case <-ended:
	case <-gone:
	}
	if m == Reset {
		_ = c.SetLinger(0)
	}
	c.Close() // ends feed, and by its end the toxic
	<-ended
	heard.tell(c.point, m)
}

func toxicOf(m Mode) toxics.Toxic {
	if m == Reset {
		return &toxics.ResetToxic{}
	}
	return &toxics.TimeoutToxic{}
}

// feed hands what the client sends to the toxic.
func feed(c *conn, in chan<- *stream.StreamChunk, ended <-chan struct{}, heard *hearing) {
	defer close(in)
	for {
		b := make([]byte, 4<<10)
		n, err := c.TCPConn.Read(b)
		if n > 0 {
			heard.hear(b[:n])
			select {
			case in <- &stream.StreamChunk{Data: b[:n], Timestamp: time.Now()}:
			case <-ended:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hearing is what a client said on a connection that nobody answered.
type hearing struct {
	from time.Time
	said lockedBuffer
}

func (h *hearing) hear(b []byte) { h.said.keep(b) }

// tell logs the request, or as much of it as arrived; a connection that nothing was
// said on is none.
func (h *hearing) tell(p *point, m Mode) {
	said := h.said.bytes()
	if len(said) == 0 {
		return
	}
	x := timeline.Exchange{Member: p.Member, From: h.from, To: time.Now(), Fault: string(m)}
	if r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(said))); err == nil {
		body, _ := io.ReadAll(io.LimitReader(r.Body, parseLimit)) // cut short by the fault, likely
		q := readQuestion(body)
		x.Path, x.Model, x.ID = r.URL.Path, q.Model, q.id(r.Header)
	}
	p.count.Add(1)
	p.log.put(x)
}
