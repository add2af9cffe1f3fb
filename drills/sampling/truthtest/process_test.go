package truthtest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is this binary, executed again in a role.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// start starts the process and hands it its order as JSON. It ends when
// its input does, so at the latest with the test.
func start(t *testing.T, as string, order any) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), role+"="+as)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.NoError(t, json.NewEncoder(in).Encode(order))
	return &process{cmd: cmd, in: in, out: json.NewDecoder(bufio.NewReader(out))}
}

// servers are the facts of a process of servers, as they come.
type servers struct {
	mu    sync.Mutex
	facts [][]fact // the outages
	lags  [][]fact
	done  chan struct{} // closed when every step was made, or none more will be
}

// serve starts the servers and returns when all of them listen.
func serve(t *testing.T, sites []site) *servers {
	t.Helper()
	p := start(t, "servers", sites)
	var ready string
	require.NoError(t, p.out.Decode(&ready), "the servers did not come up")
	s := &servers{facts: make([][]fact, len(sites)), lags: make([][]fact, len(sites)), done: make(chan struct{})}
	left := 0
	for _, st := range sites {
		left += len(st.Steps)
	}
	go func() {
		defer close(s.done)
		for left > 0 {
			var f fact
			if p.out.Decode(&f) != nil {
				return
			}
			s.mu.Lock()
			if f.Mode == lagged {
				s.lags[f.Site] = append(s.lags[f.Site], f)
			} else {
				s.facts[f.Site] = append(s.facts[f.Site], f)
				left--
			}
			s.mu.Unlock()
		}
	}()
	return s
}
