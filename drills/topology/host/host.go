// Package host runs commands where members live: on the runner's own host, or on
// another one over SSH.
package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"firedrill/drills/spec"
)

// Host is where commands run.
type Host interface {
	// Run runs a program with arguments, without a shell in between, and feeds it
	// stdin. It returns what the program said, cut at 1 MiB each, and an *ExitError
	// if it ended with a code other than 0 or by a signal. When ctx ends, the
	// program is killed with everything that it started, as far as the host can.
	Run(ctx context.Context, argv []string, stdin string) (Output, error)
	// Name says where that is, for people.
	Name() string
}

// Output is what a program said.
type Output struct{ Stdout, Stderr string }

// Spec says where commands run. The zero Spec is the runner's own host.
type Spec struct {
	// SSH is the host to reach over SSH, as "[user@]host[:port]". "{host}" in it
	// stands for the host part of the member's address, "{member}" for its name.
	// Empty: the runner's own host.
	SSH string `json:"ssh,omitempty"`
	// KeyFile is the path of a private key (default: those of ~/.ssh that have the
	// usual names). Keys of the agent at SSH_AUTH_SOCK are tried as well.
	KeyFile string `json:"keyFile,omitempty"`
	// Passphrase opens the key file, if it needs one: "env:NAME" or "file:PATH".
	Passphrase spec.Secret `json:"passphrase,omitempty"`
	// KnownHosts is the path of the file that holds the host's key (default
	// ~/.ssh/known_hosts). A host that is not in it is refused.
	KnownHosts string `json:"knownHosts,omitempty"`
}

// For replaces the placeholders for one member.
func (s Spec) For(member, address string) Spec {
	s.SSH = Expand([]string{s.SSH}, member, address)[0]
	return s
}

// Open returns the host. It contacts nothing.
func (s Spec) Open() (Host, error) {
	if s.SSH == "" {
		if s.KeyFile != "" || s.KnownHosts != "" || s.Passphrase != "" {
			return nil, errors.New("host: keyFile, passphrase and knownHosts need ssh")
		}
		return Local{}, nil
	}
	return newRemote(s)
}

// Local tells whether commands run on the runner's own host.
func (s Spec) Local() bool { return s.SSH == "" }

// Expand replaces "{member}", "{address}" and "{host}" (the address without its
// port) in every argument.
func Expand(argv []string, member, address string) []string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		h = address
	}
	r := strings.NewReplacer("{member}", member, "{address}", address, "{host}", h)
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = r.Replace(a)
	}
	return out
}

// ExitError says that a program ended badly. It carries neither the arguments nor
// the environment, which may hold secrets.
type ExitError struct {
	Host, Program string
	// Code is the exit code, or -1 if a signal ended the program.
	Code int
	// Line is the first line that the program wrote to its standard error.
	Line string
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Code < 0 {
		how = "ended by a signal"
	}
	if e.Line != "" {
		how += ": " + e.Line
	}
	return fmt.Sprintf("run %s on %s: %s", e.Program, e.Host, how)
}

// Code returns the exit code that err carries: 0 for nil, -1 if it carries none.
func Code(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	return -1
}

// firstLine returns the first line that is not blank, cut at 200 bytes.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return strings.ToValidUTF8(line[:min(len(line), 200)], "")
		}
	}
	return ""
}

// capped keeps the first mebibyte that is written to it.
type capped struct{ b strings.Builder }

func (c *capped) Write(p []byte) (int, error) {
	if room := 1<<20 - c.b.Len(); room > 0 {
		c.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (c *capped) String() string { return c.b.String() }
