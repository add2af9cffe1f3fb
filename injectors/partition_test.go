package injectors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
)

func build(t *testing.T, kind, with string) drills.Injector {
	t.Helper()
	i, err := injectors.All(kinds).Build(kind, json.RawMessage(with))
	require.NoError(t, err)
	return i
}

// begin prepares and injects, and has it reverted in the end.
func begin(t *testing.T, i drills.Injector, members, others []topology.MemberSpec) (drills.Target, drills.Undo) {
	t.Helper()
	to, err := injectortest.OpenTarget(kinds, members, others)
	require.NoError(t, err)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, i.Revert(context.Background(), u)) })
	require.NoError(t, i.Inject(t.Context(), to, u))
	return to, u
}

func confirm(t *testing.T, i drills.Injector, to drills.Target, u drills.Undo, within time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return i.(drills.Confirmer).Confirm(ctx, to, u)
}

// With one direction cut, packets of the other one still arrive: b hears what a
// sends, and a has no answer to it (until TCP waits for acknowledgements that do not
// come), or it does not.
func TestPartitionDirections(t *testing.T) {
	controltest.Real(t)
	for direction, hears := range map[string]bool{"in": true, "out": false, "both": false} {
		t.Run(direction, func(t *testing.T) {
			b := controltest.Member(t, "b", "127.0.5.2:7001", "65542")
			a := controltest.Member(t, "a", "127.0.5.1:7001", "65541", "-peer", b.Address)
			start(t, b, a)
			i := build(t, "network-partition", `{"direction":"`+direction+`"}`)
			// What b had not read yet when the rules came has no answer either: where
			// b was busy just then, it is tried again.
			for tries := 5; ; tries-- {
				require.NoError(t, flows(t.Context(), a, b))
				_, u := begin(t, i, []topology.MemberSpec{a}, []topology.MemberSpec{b})
				got := unanswered(t, a, b)
				t.Logf("b heard %d lines that it could not answer", got)
				if hears {
					assert.GreaterOrEqual(t, got, 4)
					return
				}
				if got <= 3 {
					return
				}
				require.NotEqual(t, 1, tries, "b heard %d lines after the cut", got)
				require.NoError(t, i.Revert(t.Context(), u))
			}
		})
	}
}

// unanswered is how many lines of a's b heard to which a has no answer, once neither
// hears any more. What the connection lost before, it has made up for by now.
func unanswered(t *testing.T, a, b topology.MemberSpec) int {
	t.Helper()
	var last, now [2]int
	require.Eventually(t, func() bool {
		heard, _, err := counts(b)
		require.NoError(t, err)
		_, answers, err := counts(a)
		require.NoError(t, err)
		last, now = now, [2]int{heard, answers}
		return now == last
	}, 20*time.Second, 50*time.Millisecond, "they still hear each other")
	return now[0] - now[1]
}

// Two members on one address are told apart by their ports.
func TestPartitionOfMembersThatShareAnAddress(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.0.1:7102", "65544")
	a := controltest.Member(t, "a", "127.0.0.1:7101", "65543", "-peer", b.Address)
	c := controltest.Member(t, "c", "127.0.0.1:7103", "65545", "-peer", b.Address)
	start(t, b, a, c)
	i := build(t, "network-partition", `{}`)
	to, u := begin(t, i, []topology.MemberSpec{a}, []topology.MemberSpec{b})
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "connections that came about before do not any more: a to b, b to a", by)
	assert.NoError(t, severed(a, b, "both"))
	assert.NoError(t, flows(t.Context(), c, b), "a bystander is not touched")
}

// A port that a peer used for a connection that is cut is used again, by a client
// that is not cut off.
func TestPartitionForgetsPortsThatOthersUse(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.5.6:7001", "65549")
	a := controltest.Member(t, "a", "127.0.5.5:7001", "65548", "-peer", b.Address)
	start(t, b, a)
	begin(t, build(t, "network-partition", `{}`), []topology.MemberSpec{a}, []topology.MemberSpec{b})
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 47001}, Timeout: 300 * time.Millisecond}
	asPeer := make(chan error)
	go func() {
		// Never unlocked: the user belongs to the thread, which ends with this.
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65548, 65548, 65548)
		if errno != 0 {
			asPeer <- errno
			return
		}
		_, err := d.Dial("tcp", b.Address)
		asPeer <- err
	}()
	err := <-asPeer
	require.ErrorContains(t, err, "i/o timeout", "a is cut off")
	d.Timeout = 5 * time.Second
	c, err := d.Dial("tcp", b.Address)
	require.NoError(t, err, "a bystander is not, from the same port")
	c.Close()
}

func TestPartitionIsNotConfirmedByAPeerThatIsDown(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.5.4:7001", "65547")
	a := controltest.Member(t, "a", "127.0.5.3:7001", "65546")
	start(t, b, a)
	i := build(t, "network-partition", `{}`)
	to, err := injectortest.OpenTarget(kinds, []topology.MemberSpec{a}, []topology.MemberSpec{b})
	require.NoError(t, err)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, die(b)(t.Context()))
	_, err = confirm(t, i, to, u, 300*time.Millisecond)
	assert.ErrorContains(t, err, "it is down rather than cut off")

	require.NoError(t, die(a)(t.Context()))
	u, err = i.Prepare(t.Context(), to)
	require.NoError(t, err)
	_, err = confirm(t, i, to, u, 300*time.Millisecond)
	assert.ErrorContains(t, err, "proves nothing")
}

// The member has a network namespace of its own: the one of a process that does
// nothing else.
func TestPartitionInANamespace(t *testing.T) {
	controltest.Real(t)
	holder := exec.Command("unshare", "--net", "sleep", "60")
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, holder.Start())
	t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
	namespace := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	require.NoError(t, eventually(t.Context(), func(context.Context) error {
		out, err := exec.Command("sh", "-c", fmt.Sprintf(
			`[ "$(readlink %[1]s)" != "$(readlink /proc/self/ns/net)" ] && ip link add fd-out type veth peer name fd-in netns %[2]d &&
			ip addr add 10.99.0.1/24 dev fd-out && ip link set fd-out up &&
			nsenter --net=%[1]s sh -c 'ip addr add 10.99.0.2/24 dev fd-in && ip link set fd-in up && ip link set lo up'`,
			namespace, holder.Process.Pid)).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}))
	b := controltest.Member(t, "b", "10.99.0.1:7001", "")
	start(t, b)
	a := topology.MemberSpec{Name: "a", Address: "10.99.0.2:7001"}
	for name, from := range map[string]string{"peers": "peers", "everybody": "everybody"} {
		t.Run(name, func(t *testing.T) {
			i := build(t, "network-partition", fmt.Sprintf(`{"namespace":"/proc/%d/ns/net","from":%q}`, holder.Process.Pid, from))
			reach := func(seconds string) error {
				return exec.Command("nsenter", "--net="+namespace, "timeout", seconds, "bash", "-c", "exec 3<>/dev/tcp/10.99.0.1/7001").Run()
			}
			require.NoError(t, reach("5"))
			to, u := begin(t, i, []topology.MemberSpec{a}, []topology.MemberSpec{b})
			assert.Error(t, reach("0.3"))
			by, err := confirm(t, i, to, u, 5*time.Second)
			require.NoError(t, err)
			assert.Contains(t, by, "a to b")
			require.NoError(t, i.Revert(t.Context(), u))
			assert.NoError(t, reach("5"))
		})
	}
	t.Run("that is no more", func(t *testing.T) {
		i := build(t, "network-partition", fmt.Sprintf(`{"namespace":"/proc/%d/ns/net"}`, holder.Process.Pid))
		begin(t, i, []topology.MemberSpec{a}, []topology.MemberSpec{b}) // reverted in the end
		holder.Process.Kill()
		holder.Wait()
	})
}

func TestPartitionRefusesWhatItCannotTellApart(t *testing.T) {
	controltest.Real(t)
	member := func(name, address, user string) topology.MemberSpec {
		return topology.MemberSpec{Name: name, Address: address, User: user}
	}
	a, b := member("a", "127.0.5.1:1", "65541"), member("b", "127.0.5.2:1", "65542")
	for name, c := range map[string]struct {
		with, want string
		a          topology.MemberSpec
		others     []topology.MemberSpec
	}{
		"no peers":     {`{}`, "member a has no peers", a, nil},
		"same user":    {`{}`, "members a and b run as the same user", a, []topology.MemberSpec{member("b", "127.0.5.2:1", "65541")}},
		"no user":      {`{}`, "member b has no user", a, []topology.MemberSpec{member("b", "127.0.5.2:1", "")}},
		"root":         {`{}`, "runs as root", member("a", "127.0.5.1:1", "0"), []topology.MemberSpec{b}},
		"own host":     {`{"from":"everybody"}`, "runner's own host", member("a", "127.0.5.1:1", ""), nil},
		"bad address":  {`{}`, "member a: address", member("a", "127.0.5.1", "65541"), []topology.MemberSpec{b}},
		"no namespace": {`{"namespace":"/run/netns/{member}-none"}`, "/run/netns/a-none", a, []topology.MemberSpec{b}},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := injectortest.OpenTarget(kinds, []topology.MemberSpec{c.a}, c.others)
			require.NoError(t, err)
			_, err = build(t, "network-partition", c.with).Prepare(t.Context(), to)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestPartitionRevertTouchesNoOtherTable(t *testing.T) {
	controltest.Real(t)
	i := build(t, "network-partition", `{}`)
	for _, table := range []string{"filter", "firedrill_x; flush ruleset", ""} {
		b := controltest.JSON(t, map[string]any{"table": table, "places": []any{map[string]any{}}})
		assert.ErrorContains(t, i.Revert(t.Context(), drills.Undo{Data: b}), "none of this fault's")
	}
}

func TestPartitionUndoIsSelfContained(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.5.6:7001", "65549")
	a := controltest.Member(t, "a", "127.0.5.5:7001", "65548")
	start(t, b, a)
	i := build(t, "network-partition", `{}`)
	_, u := begin(t, i, []topology.MemberSpec{a}, []topology.MemberSpec{b})
	left, err := tables()
	require.NoError(t, err)
	require.Len(t, left, 1)
	name := strings.TrimPrefix(left[0], "table inet ")
	assert.Contains(t, u.Says, name)
	require.NoError(t, build(t, "network-partition", `{"from":"everybody"}`).Revert(t.Context(), drills.Undo{Data: u.Data}))
	left, err = tables()
	require.NoError(t, err)
	assert.Empty(t, left)
}
