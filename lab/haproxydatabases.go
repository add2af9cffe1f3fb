package lab

import (
	"fmt"
	"strings"
)

// databases: a client of a dead server is refused at once (no retry, and connecting
// takes a second at most), and one that is served is cut off when its server
// leaves. Sessions may idle for an hour, as those of connection pools do; but one
// that its client has left does not wait for a server that hangs: no command cuts
// it off (HAProxy 2.6), and until it is gone nobody can say that nobody is served.
func (h *HAProxy) databases(ready string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `defaults
	mode tcp
	retries 0
	timeout connect 1s
	timeout client 1h
	timeout server 1h
	timeout server-fin 1s
listen %s
	bind %s
	default-server on-marked-down shutdown-sessions
`, h.backend, h.Address)
	for _, s := range h.Servers {
		fmt.Fprintf(&b, "\tserver %s %s%s\n", s.Name, s.Address, disabledUnless(s.Name == ready))
	}
	return b.String()
}

// disabledUnless is the option of a server that begins in maintenance.
func disabledUnless(ready bool) string {
	if ready {
		return ""
	}
	return " disabled"
}
