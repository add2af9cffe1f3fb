package controltest

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// serve is the server: it greets with its process number (unless it is shy), and
// answers every line with "echo LINE", or "count" with how many lines it has heard
// and how many answers it has had from its peer. With children it has that many processes
// below it, each of which holds one more.
func serve(args []string) int {
	o := parse(args)
	if o.fail != 0 {
		return o.fail
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if o.ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	var below family
	for range o.children {
		below.add("-parent")
	}
	if o.parent {
		below.add()
	}
	if err := o.begin(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {
	case <-stop:
	case <-time.After(lifetime):
	}
	<-time.After(o.slowStop)
	below.end()
	return 0
}

// options are what a server is told by its arguments.
type options struct {
	listen, pidFile, peer      string
	children, fail             int
	parent, churn, shy, ignore bool
	slowStop                   time.Duration
}

func parse(args []string) options {
	var o options
	f := flag.NewFlagSet("server", flag.ExitOnError)
	f.StringVar(&o.listen, "listen", "", "address to listen on; none: just be there")
	f.StringVar(&o.pidFile, "pid-file", "", "write the process number there")
	f.StringVar(&o.peer, "peer", "", "keep a connection to this address, sending a line every 2 ms")
	f.IntVar(&o.children, "children", 0, "processes below this one")
	f.BoolVar(&o.parent, "parent", false, "have one process below this one")
	f.BoolVar(&o.churn, "churn", false, "keep making new short-lived children")
	f.BoolVar(&o.shy, "shy", false, "let the client speak first")
	f.BoolVar(&o.ignore, "ignore-term", false, "do not obey SIGTERM")
	f.DurationVar(&o.slowStop, "slow-stop", 0, "how long a shutdown takes")
	f.IntVar(&o.fail, "fail", 0, "end at once with this code")
	f.Parse(args)
	return o
}

// begin starts everything that goes on in the background.
func (o options) begin() error {
	if o.churn {
		go churning()
	}
	if o.listen != "" {
		l, err := net.Listen("tcp", o.listen)
		if err != nil {
			return err
		}
		go accept(l, o.shy)
	}
	if o.peer != "" {
		go talk(o.peer)
	}
	if o.pidFile == "" {
		return nil
	}
	return os.WriteFile(o.pidFile, fmt.Appendln(nil, os.Getpid()), 0o644)
}

// lifetime ends servers that a broken test left behind.
const lifetime = 10 * time.Minute

// family are the processes below a server. They outlive one that is killed, and
// end with one that is stopped.
type family []*exec.Cmd

// add starts the program once more.
func (f *family) add(args ...string) {
	cmd := exec.Command(os.Args[0], args...)
	if cmd.Start() == nil {
		go cmd.Wait()
		*f = append(*f, cmd)
	}
}

func (f family) end() {
	for _, cmd := range f {
		cmd.Process.Signal(syscall.SIGTERM)
	}
}

// churning makes a short-lived child every few milliseconds, and every other one
// leaves a child of its own behind for a moment.
func churning() {
	for range time.Tick(4 * time.Millisecond) {
		cmd := exec.Command("/bin/sh", "-c", "sleep 0.02 & sleep 0.01")
		if cmd.Start() == nil {
			go cmd.Wait()
		}
	}
}

// heard counts the lines that came in on connections that others opened, answers
// those that came back on the connection to the peer.
var heard, answers atomic.Int64

func accept(l net.Listener, shy bool) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if !shy {
				fmt.Fprintf(c, "hello %d\n", os.Getpid())
			}
			for s := bufio.NewScanner(c); s.Scan(); {
				if s.Text() == "count" {
					fmt.Fprintf(c, "count %d %d\n", heard.Load(), answers.Load())
					continue
				}
				heard.Add(1)
				fmt.Fprintf(c, "echo %s\n", s.Text())
			}
		}()
	}
}

// talk keeps one connection to a peer busy, the way a replica does.
func talk(peer string) {
	for range time.Tick(5 * time.Millisecond) {
		c, err := net.Dial("tcp", peer)
		if err != nil {
			continue
		}
		go func() {
			for s := bufio.NewScanner(c); s.Scan(); {
				answers.Add(1)
			}
			c.Close()
		}()
		for range time.Tick(2 * time.Millisecond) {
			if _, err := fmt.Fprintln(c, "x"); err != nil {
				break
			}
		}
		c.Close()
	}
}
