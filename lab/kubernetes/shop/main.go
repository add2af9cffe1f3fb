// Command shop is what the pods of the lab kubernetes run: a service that says when
// it is ready, takes leave as it is told to, and writes down each request that it
// answers. Called as "pause" it is the container that holds a pod's namespaces.
//
// It needs the standard library only: the lab builds it on its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == "pause" {
		pause()
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// pause waits to be told to end, whatever its arguments are.
func pause() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
}

// options are how a pod behaves.
type options struct {
	address string
	// listenAfter is how long after its start it listens at all.
	listenAfter time.Duration
	// readyAfter is how long after its start it says that it is ready.
	readyAfter time.Duration
	// drain is how long it goes on answering, no longer ready, once it is told to end.
	drain time.Duration
	// abrupt ends it at once when it is told to end: requests in flight are cut.
	abrupt bool
	// log is a file that requests are written down in as well as on standard output;
	// it outlives the pod.
	log string
}

func run(args []string) error {
	if len(args) == 3 && args[0] == "kill" {
		return kill(args[1], args[2])
	}
	var o options
	f := flag.NewFlagSet("shop", flag.ContinueOnError)
	f.StringVar(&o.address, "listen", ":8080", "address to listen on")
	f.DurationVar(&o.listenAfter, "listen-after", 0, "how long after the start it listens")
	f.DurationVar(&o.readyAfter, "ready-after", 0, "how long after the start it is ready")
	f.DurationVar(&o.drain, "drain", 0, "how long it goes on answering after SIGTERM")
	f.BoolVar(&o.abrupt, "abrupt", false, "end at once at SIGTERM, in the midst of answers")
	f.StringVar(&o.log, "log", "", "file that requests are written down in as well")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return serve(ctx, o)
}

// finish bounds the answers that are still being given when it ends.
const finish = 5 * time.Second

// serve answers until ctx ends, and then as long as it is told to drain.
func serve(ctx context.Context, o options) error {
	s, err := newService(o)
	if err != nil {
		return err
	}
	defer s.book.close()
	srv := &http.Server{Addr: o.address, Handler: s, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() {
		<-time.After(o.listenAfter)
		ended <- srv.ListenAndServe()
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if o.abrupt {
		return srv.Close()
	}
	s.leaving.Store(true)
	<-time.After(o.drain)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finish)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
