package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// kill sends a signal to a process, as the program "kill" does, which the image does
// not have: "kill TERM 1" run in a pod ends it from inside.
func kill(signal, pid string) error {
	signals := map[string]syscall.Signal{
		"0": 0, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL,
	}
	s, ok := signals[signal]
	if !ok {
		return fmt.Errorf("kill: signal %q is not known", signal)
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	p, err := os.FindProcess(n)
	if err != nil {
		return err
	}
	return p.Signal(s)
}
