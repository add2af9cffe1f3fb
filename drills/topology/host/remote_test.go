package host_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/host"
)

func remoteRun(t *testing.T, s host.Spec, argv []string, stdin string) (host.Output, error) {
	t.Helper()
	h, err := s.Open()
	require.NoError(t, err)
	return h.Run(t.Context(), argv, stdin)
}

func TestRemoteRun(t *testing.T) {
	s := controltest.StartSSHD(t, "")
	argv := []string{"sh", "-c", `cat; printf '%s|' "$@" >&2`, "sh", "it's", "$HOME", "a b", ""}
	out, err := remoteRun(t, s.Spec(), argv, "hello")
	require.NoError(t, err)
	assert.Equal(t, host.Output{Stdout: "hello", Stderr: "it's|$HOME|a b||"}, out)

	_, err = remoteRun(t, s.Spec(), []string{"sh", "-c", "echo one >&2; echo two >&2; exit 3", "hush"}, "")
	assert.EqualError(t, err, "run sh on op@"+s.Address+": exit code 3: one")
	assert.Equal(t, 3, host.Code(err))
}

func TestRemoteRefusesAHostWithAnotherKey(t *testing.T) {
	s := controltest.StartSSHD(t, "")
	other, _ := controltest.Key(t)
	s.Know(t, other.PublicKey())
	_, err := remoteRun(t, s.Spec(), []string{"true"}, "")
	require.Error(t, err)
	assert.ErrorContains(t, err, "refused")
	assert.ErrorContains(t, err, ssh.FingerprintSHA256(s.HostKey.PublicKey()))
	assert.ErrorContains(t, err, s.KnownHosts)
}

func TestRemoteRefusesAHostThatIsNotKnown(t *testing.T) {
	s := controltest.StartSSHD(t, "")
	require.NoError(t, os.WriteFile(s.KnownHosts, nil, 0o600))
	_, err := remoteRun(t, s.Spec(), []string{"true"}, "")
	assert.ErrorContains(t, err, "has no key in "+s.KnownHosts)
	require.NoError(t, os.Remove(s.KnownHosts))
	_, err = remoteRun(t, s.Spec(), []string{"true"}, "")
	assert.ErrorContains(t, err, s.KnownHosts)
}

func TestRemoteKeys(t *testing.T) {
	s := controltest.StartSSHD(t, "open sesame")
	spec := s.Spec()
	_, err := remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "passphrase")

	t.Setenv("FIREDRILL_TEST_PASSPHRASE", "wrong-one")
	spec.Passphrase = "env:FIREDRILL_TEST_PASSPHRASE"
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "wrong-one")

	t.Setenv("FIREDRILL_TEST_PASSPHRASE", "open sesame")
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.NoError(t, err)

	stranger := controltest.StartSSHD(t, "")
	spec = s.Spec()
	spec.KeyFile = stranger.KeyFile
	_, err = remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "log in as op")
}

func TestRemoteUsesTheAgent(t *testing.T) {
	s := controltest.StartSSHD(t, "")
	b, err := os.ReadFile(s.KeyFile)
	require.NoError(t, err)
	private, err := ssh.ParseRawPrivateKey(b)
	require.NoError(t, err)
	ring := agent.NewKeyring()
	require.NoError(t, ring.Add(agent.AddedKey{PrivateKey: private}))
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "agent"))
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, c)
		}
	}()
	t.Setenv("HOME", dir) // no key files there
	spec := s.Spec()
	spec.KeyFile = ""
	_, err = remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "no private key")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, "agent"))
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.NoError(t, err)
}

func TestRemoteRunEndsWithItsContext(t *testing.T) {
	s := controltest.StartSSHD(t, "")
	h, err := s.Spec().Open()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := filepath.Join(t.TempDir(), "began")
	ended := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, []string{"sh", "-c", `touch "$0"; exec sleep 60`, began}, "")
		ended <- err
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(began); return err == nil }, 20*time.Second, 10*time.Millisecond)
	cancel()
	for range 2 {
		select {
		case err := <-ended:
			require.ErrorIs(t, err, context.Canceled)
		case said := <-s.Signals:
			assert.Contains(t, said, "KILL")
		case <-time.After(20 * time.Second):
			require.Fail(t, "the program was not sent a signal, or its end was waited for")
		}
	}
}

func TestRemoteRunEndsWithItsContextBeforeTheLogin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer l.Close()
	s := controltest.StartSSHD(t, "")
	s.Address = l.Addr().String()
	s.Know(t, s.HostKey.PublicKey())
	h, err := s.Spec().Open()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = h.Run(ctx, []string{"true"}, "")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestSpecsThatNameNoHost(t *testing.T) {
	for _, bad := range []string{"op@", ":22", "@:22"} {
		_, err := host.Spec{SSH: bad}.Open()
		assert.ErrorContains(t, err, "want [user@]host[:port]", bad)
	}
	_, err := host.Spec{KeyFile: "k"}.Open()
	assert.ErrorContains(t, err, "need ssh")
}
