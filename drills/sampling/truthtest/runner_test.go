package truthtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// look says how one server is looked at.
type look struct {
	Addr           string
	Every, Timeout time.Duration
}

// recording is what a runner saw: the samples of each look, and its own gaps.
type recording struct {
	Samples  [][]timeline.Sample
	Gaps     []timeline.Gap
	Relation relation
}

// record samples until ctx ends.
func record(ctx context.Context, looks []look) recording {
	clock := timeline.NewClock()
	rec := recording{Samples: make([][]timeline.Sample, len(looks)), Relation: relate(clock)}
	var mu sync.Mutex
	var series, watch sync.WaitGroup
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	watch.Go(func() {
		sampling.Watch(watching, clock, sampling.Beat, sampling.Pause, func(from, to timeline.Offset) {
			rec.Gaps = append(rec.Gaps, timeline.Gap{From: from, To: to})
		})
	})
	for i, l := range looks {
		s := sampling.Series{
			Index: i, Every: l.Every, Timeout: l.Timeout,
			Phase: sampling.Spread(1, i, l.Every), Observer: get(l.Addr),
		}
		series.Go(func() {
			_ = s.Run(ctx, clock, func(s timeline.Sample) {
				mu.Lock()
				defer mu.Unlock()
				rec.Samples[i] = append(rec.Samples[i], s)
			})
		})
	}
	series.Wait()
	stop()
	watch.Wait()
	for _, s := range rec.Samples {
		slices.SortFunc(s, verdict.ByStart)
	}
	return rec
}

// runApart is a runner in its own process: it reads the looks from in, samples
// until in ends, and writes the recording to out.
func runApart(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var looks []look
	commands := json.NewDecoder(in)
	if err := commands.Decode(&looks); err != nil {
		return err
	}
	go func() {
		defer cancel()
		_ = commands.Decode(new(any)) // ends with in
	}()
	return json.NewEncoder(out).Encode(record(ctx, looks))
}

// get is an HTTP client that makes a new connection for each look.
type get string

func (addr get) Observe(ctx context.Context) sampling.Observation {
	if err := addr.get(ctx); err != nil {
		return sampling.Observation{Class: sampling.ClassOf(err), Detail: err.Error()}
	}
	return sampling.Observation{Class: timeline.OK, By: string(addr)}
}

func (addr get) get(ctx context.Context) error {
	sent := monotonic()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", string(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n%s: %d\r\n\r\n", addr, sentHeader, sent)
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return statusError(answer.Status)
	}
	return nil
}

type statusError string

func (e statusError) Error() string { return string(e) }
