package injectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/spec"
)

// manners is how an address answers a stranger who knows nothing of its protocol.
type manners struct {
	Answers answer `json:"answers"`
	// Took is how long the answer took.
	Took spec.Duration `json:"took,omitempty"`
}

type answer string

const (
	// absent: no connection came about.
	absent answer = "not at all"
	// silent: it accepts connections and says nothing that way.
	silent answer = "by accepting"
	// greets: it speaks first.
	greets answer = "with a greeting"
	// replies: it says something to a line that makes sense in no protocol but a few.
	replies answer = "to a line"
	// hangsUp: it does, without a word.
	hangsUp answer = "by hanging up"
)

const (
	// greetingTime is how long a greeting is waited for before the line is sent.
	greetingTime = 300 * time.Millisecond
	// replyTime is how long a reaction may take.
	replyTime = time.Second
)

// line provokes an answer, an error message or a hang-up from most servers.
const line = "PING\r\n\r\n"

// learn finds out the manners of an address.
func learn(ctx context.Context, address string) manners {
	for _, a := range []answer{greets, replies} {
		begin := time.Now()
		wait := greetingTime
		if a == replies {
			wait = replyTime
		}
		switch err := exchange(ctx, address, a, wait); {
		case err == nil:
			return manners{Answers: a, Took: spec.Duration(time.Since(begin))}
		case errors.Is(err, errHungUp):
			return manners{Answers: hangsUp, Took: spec.Duration(time.Since(begin))}
		case !errors.Is(err, errUnanswered):
			return manners{Answers: absent}
		}
	}
	return manners{Answers: silent}
}

// errUnanswered says that a connection came about and nothing was said on it.
var errUnanswered = errors.New("no answer")

// errHungUp says that a connection came about and was ended without a word, as that
// of a server that fails to start is.
var errHungUp = errors.New("hung up")

// exchange connects and waits for the answer. It returns nil if there was any.
func exchange(ctx context.Context, address string, a answer, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if a == silent {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if a == replies || a == hangsUp {
		if _, err := io.WriteString(c, line); err != nil {
			return err
		}
	}
	n, err := c.Read(make([]byte, 1))
	switch {
	case n > 0:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: %w within %s", address, errUnanswered, wait)
	}
	return fmt.Errorf("%s %w", address, errHungUp)
}

// asBefore returns nil if the address answers as well as it did when m was learnt.
func (m manners) asBefore(ctx context.Context, address string) error {
	if m.Answers == absent {
		return nil
	}
	err := exchange(ctx, address, m.Answers, replyTime)
	if m.Answers == hangsUp && errors.Is(err, errHungUp) {
		return nil
	}
	return err
}

// refused returns nil if the address refuses connections.
func refused(ctx context.Context, address string) error {
	err := exchange(ctx, address, silent, replyTime)
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s accepts connections", address)
	}
	return err
}

// unanswered returns nil, and what was seen, if a connection comes to nothing: for
// ten times as long as an answer took before, within bounds.
func (m manners) unanswered(ctx context.Context, address string) (string, error) {
	wait := min(max(10*m.Took.Std(), 50*time.Millisecond), replyTime)
	begin := time.Now()
	err := exchange(ctx, address, m.Answers, wait)
	switch {
	case err == nil, errors.Is(err, errHungUp):
		return "", fmt.Errorf("%s answers", address)
	case errors.Is(err, errUnanswered), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		if err := waited(begin, wait); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s has not answered for %s (it did %s in %s before)", address, wait, m.Answers, m.Took.Std().Round(10*time.Microsecond)), nil
	}
	return "", err
}

// waited returns nil if about the time has passed that was to be waited. Less says
// that a context ended first, and much more that the runner itself stood still:
// then an answer may have been there, unseen.
func waited(begin time.Time, wait time.Duration) error {
	switch took := time.Since(begin); {
	case took < wait:
		return fmt.Errorf("waited for an answer only for %s, want %s", took, wait)
	case took > wait+wait/2:
		return fmt.Errorf("the runner itself stood still: a wait of %s took %s", wait, took)
	}
	return nil
}
