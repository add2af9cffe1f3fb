package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/llm"
	"firedrill/injectors/faultpoint"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/lab/vendor"
	"firedrill/scenarios"
)

// modelLab is a lab of models as an application knows it.
type modelLab struct {
	caller
	lab.Status
	cfg llm.Config
	c   *topology.Component
	key string
}

// upModels brings a lab of models up and reads its topology file.
func upModels(t *testing.T, by caller, name string) *modelLab {
	t.Helper()
	l := &modelLab{caller: by, Status: by.up(t, name)}
	require.Equal(t, lab.Healthy, l.State, l.Problems)
	k := builtin.Kinds()
	f, err := scenarios.LoadTopology(l.Topology, scenarios.Kinds{
		Components: k.Components.Entries(), Controls: k.Controls.Entries(), Routes: k.Routes.Entries(),
	})
	require.NoError(t, err)
	top, err := f.Open(k)
	require.NoError(t, err)
	l.c, err = top.Component("models")
	require.NoError(t, err)
	l.cfg, err = llm.ConfigOf(l.c)
	require.NoError(t, err)
	l.key, err = l.cfg.Key.Resolve()
	require.NoError(t, err)
	return l
}

// answer is what an application got.
type answer struct {
	status int
	by     string
	body   string
	err    error
}

// ask posts a request the way applications do, on a connection of its own.
func (l *modelLab) ask(t *testing.T, path string, body map[string]any) (a answer) {
	t.Helper()
	b, err := json.Marshal(body)
	require.NoError(t, err)
	url := l.cfg.Scheme + "://" + l.Route + l.cfg.BasePath + path
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(b))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+l.key)
	req.Header.Set("Content-Type", "application/json")
	for k, v := range l.cfg.Headers {
		req.Header.Set(k, v)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return lab.DialInside(ctx, l.Namespace, network, address)
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, l.cfg.Who(l.c, "", "", resp.Header.Get), string(text), err}
}

func (l *modelLab) chat(t *testing.T, id string) answer {
	t.Helper()
	return l.ask(t, "/chat/completions", map[string]any{
		"model": l.cfg.Models.Chat, "user": id, "messages": []any{map[string]any{"role": "user", "content": "Are you there?"}},
	})
}

func (l *modelLab) admin(i int) *vendor.Admin {
	return vendor.NewAdmin(filepath.Join(l.Members[i].Dir, "admin.sock"))
}

var modelLabs = []string{"llm", "llm-haproxy", "llm-manual", "llm-selfhosted"}

func TestModelLabs(t *testing.T) {
	labtest.Real(t)
	built.path(t)
	for _, name := range modelLabs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by := newCaller(t, 0)
			assert.Equal(t, lab.IsDown, by.status(t, name).State)
			l := upModels(t, by, name)
			answersEverything(t, l)
			discovers(t, l)
			assert.Equal(t, l.Status, by.up(t, name), "a second up changes nothing")
			repairsEverything(t, l)
			by.run(t, "lab", "down", name)
			nothingLeft(t, by.home, l.Status)
			by.run(t, "lab", "down", name)
		})
	}
}

// answersEverything asks for everything that applications may ask for, and finds the
// request in the log of the vendor that is named.
func answersEverything(t *testing.T, l *modelLab) {
	t.Helper()
	for path, body := range map[string]map[string]any{
		"/chat/completions": {"model": l.cfg.Models.Chat, "stream": true, "messages": []any{map[string]any{"role": "user", "content": "hi"}}},
		"/embeddings":       {"model": l.cfg.Models.Embedding, "input": "hi"},
		"/rerank":           {"model": l.cfg.Models.Rerank, "query": "hi", "documents": []string{"a", "b"}},
	} {
		body["user"] = "test" + path
		a := l.ask(t, path, body)
		require.NoError(t, a.err, path)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		i := slices.IndexFunc(l.Members, func(m lab.MemberStatus) bool { return m.Name == a.by })
		require.GreaterOrEqual(t, i, 0, "%s: answered by %q", path, a.by)
		if l.cfg.Strategy == "priority" {
			assert.Zero(t, i, "%s: the first in order answers", path)
		}
		seen, err := l.admin(i).ByID(t.Context(), "test"+path)
		require.NoError(t, err)
		assert.Len(t, seen, 1, path)
		assert.Equal(t, path == "/chat/completions", strings.HasSuffix(strings.TrimSpace(a.body), "data: [DONE]"), a.body)
	}
}

// discovers looks at the members as drills do, through the fault point.
func discovers(t *testing.T, l *modelLab) {
	t.Helper()
	for i, m := range l.c.Members {
		conn, err := lab.DialInside(t.Context(), l.Namespace, "tcp", l.c.Spec.FaultPoint.Listen[m.Name()])
		require.NoError(t, err, m.Name())
		conn.Close()
		st, err := m.Control.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, l.Members[i].PID, st.PIDs[0], m.Name())
	}
	st, err := l.c.FaultPoint.Control.Status(t.Context())
	require.NoError(t, err)
	assert.True(t, st.Running)
}

// repairsEverything ends each process, makes faults, and lets up put it right.
func repairsEverything(t *testing.T, l *modelLab) {
	t.Helper()
	all := slices.Concat(l.Members, l.Services)
	for _, victims := range [][]lab.MemberStatus{all[:1], l.Services} {
		for _, v := range victims {
			kill(t, v.PID)
		}
		var st lab.Status
		require.Eventually(t, func() bool { // a large process takes a moment to die
			st = l.caller.status(t, l.Name)
			return !slices.ContainsFunc(victims, func(v lab.MemberStatus) bool { return !strings.Contains(strings.Join(st.Problems, "\n"), v.Name) })
		}, 10*time.Second, 10*time.Millisecond, "every process that was killed is said to be down")
		assert.Equal(t, lab.Degraded, st.State)
		after := l.caller.up(t, l.Name)
		require.Equal(t, lab.Healthy, after.State, after.Problems)
		for i, p := range slices.Concat(after.Members, after.Services) {
			killed := slices.ContainsFunc(victims, func(v lab.MemberStatus) bool { return v.Name == p.Name })
			assert.Equal(t, !killed, p.PID == all[i].PID, "only what was killed is started again: %s", p.Name)
		}
		all = slices.Concat(after.Members, after.Services)
	}
	require.NoError(t, syscall.Kill(all[1].PID, syscall.SIGSTOP))
	require.NoError(t, l.admin(0).SetMode(t.Context(), vendor.Mode{Name: vendor.Quota}))
	require.NoError(t, faultpoint.NewClient(l.c.Spec.FaultPoint.Socket).Set(t.Context(), faultpoint.Fault{
		ID: "left", Members: []string{all[2].Name}, Mode: faultpoint.Refused, Share: 1, Expires: time.Now().Add(time.Hour),
	}))
	st := l.caller.status(t, l.Name)
	for _, want := range []string{all[0].Name + " fails as it was told to: quota", all[1].Name, "fault left is in force"} {
		assert.Contains(t, strings.Join(st.Problems, "\n"), want)
	}
	l.Status = l.caller.up(t, l.Name)
	require.Equal(t, lab.Healthy, l.State, l.Problems)
}

// What is left of another firedrill does not stay.
func TestModelLabsRunThisProgram(t *testing.T) {
	labtest.Real(t)
	by := newCaller(t, 0)
	before := by.up(t, "llm-manual")
	copied := filepath.Join(filepath.Dir(before.Members[0].Dir), "firedrill")
	require.NoError(t, os.Chtimes(copied, time.Time{}, time.Now().Add(-time.Hour)))
	st := by.status(t, "llm-manual")
	assert.Contains(t, strings.Join(st.Problems, "\n"), "another firedrill")
	after := by.up(t, "llm-manual")
	require.Equal(t, lab.Healthy, after.State, after.Problems)
	for i, m := range after.Members {
		assert.NotEqual(t, before.Members[i].PID, m.PID, m.Name)
	}
	assert.Equal(t, before.Services[1], after.Services[1], "HAProxy is the same in all of them")
}

// Without root a lab of models does all the same, and listens on loopback only.
func TestModelLabsNeedNoRoot(t *testing.T) {
	labtest.Real(t)
	const somebody = 64242
	by := newCaller(t, somebody)
	l := upModels(t, by, "llm")
	assert.Empty(t, l.Namespace)
	answersEverything(t, l)
	for _, p := range slices.Concat(l.Members, l.Services) {
		st, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID))
		require.NoError(t, err)
		assert.EqualValues(t, somebody, st.Sys().(*syscall.Stat_t).Uid, p.Name)
	}
	onLoopbackOnly(t, 8)
	by.run(t, "lab", "down", "llm")
	nothingLeft(t, by.home, l.Status)
}

// onLoopbackOnly looks at every TCP socket that listens in the tests' own namespace
// (proc_net_tcp): as many as are wanted, all on 127.x.x.x.
func onLoopbackOnly(t *testing.T, want int) {
	t.Helper()
	var at []string
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/thread-self/net/" + table)
		require.NoError(t, err)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); f[3] == "0A" {
				at = append(at, f[1])
			}
		}
	}
	assert.Len(t, at, want)
	for _, a := range at {
		assert.Regexp(t, "^[0-9A-F]{6}7F:", a, "little-endian")
	}
}

// What drills rely on: who answers when the first vendor's process is killed, and
// what it costs.
func TestModelLabsFailOver(t *testing.T) {
	labtest.Real(t)
	built.path(t)
	for name, after := range map[string][]string{
		"llm": {"vendor-b"}, "llm-haproxy": {"vendor-b"}, "llm-manual": nil, "llm-selfhosted": {"selfhosted-2", "selfhosted-3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := upModels(t, newCaller(t, 0), name)
			require.Equal(t, http.StatusOK, l.chat(t, "before").status)
			kill(t, l.Members[0].PID)
			failed, by := 0, map[string]bool{}
			// Until the last 10 were all answered, or, where nobody fails over, for 10.
			for n, whole := 0, 0; whole < 10 && (after != nil || n < 10); n++ {
				require.Less(t, n, 400, "answers come again")
				a := l.chat(t, fmt.Sprintf("after-%d", n))
				if whole++; a.err != nil || a.status != http.StatusOK {
					failed, whole = failed+1, 0
					continue
				}
				by[a.by] = true
			}
			t.Logf("%d requests failed", failed)
			assert.ElementsMatch(t, after, slices.Collect(maps.Keys(by)))
			switch name {
			case "llm":
				assert.Zero(t, failed, "the gateway asks the next vendor within the same request")
			case "llm-manual":
				assert.Equal(t, 10, failed, "nobody fails over")
			}
		})
	}
}
