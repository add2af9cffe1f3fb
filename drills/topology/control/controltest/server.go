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
	f := flag.NewFlagSet("server", flag.ExitOnError)
	listen := f.String("listen", "", "address to listen on; none: just be there")
	children := f.Int("children", 0, "processes below this one")
	parent := f.Bool("parent", false, "have one process below this one")
	churn := f.Bool("churn", false, "keep making new short-lived children")
	shy := f.Bool("shy", false, "let the client speak first")
	slowStop := f.Duration("slow-stop", 0, "how long a shutdown takes")
	pidFile := f.String("pid-file", "", "write the process number there")
	ignore := f.Bool("ignore-term", false, "do not obey SIGTERM")
	peer := f.String("peer", "", "keep a connection to this address, sending a line every 2 ms")
	fail := f.Int("fail", 0, "end at once with this code")
	f.Parse(args)
	if *fail != 0 {
		return *fail
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if *ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	var below family
	for range *children {
		below.add("-parent")
	}
	if *parent {
		below.add()
	}
	if *churn {
		go churning()
	}
	if *listen != "" {
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go accept(l, *shy)
	}
	if *pidFile != "" {
		if err := os.WriteFile(*pidFile, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if *peer != "" {
		go talk(*peer)
	}
	select {
	case <-stop:
	case <-time.After(lifetime):
	}
	<-time.After(*slowStop)
	below.end()
	return 0
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
