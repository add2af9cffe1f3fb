package controltest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"firedrill/drills/topology/host"
)

// SSHD is an SSH server on 127.0.0.1 that runs what it is asked to with sh, as
// sshd(8) does, and lets one key in.
type SSHD struct {
	Address, KeyFile, KnownHosts string
	HostKey                      ssh.Signer
	// Signals are those that clients sent to their programs.
	Signals chan string
}

// Key makes a key.
func Key(t testing.TB) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	s, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return s, private
}

// StartSSHD starts one; a passphrase locks the key file of whoever may log in.
func StartSSHD(t *testing.T, passphrase string) *SSHD {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	hostKey, _ := Key(t)
	login, private := Key(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	s := &SSHD{
		Address: l.Addr().String(), HostKey: hostKey, Signals: make(chan string, 10),
		KeyFile: filepath.Join(dir, "key"), KnownHosts: filepath.Join(dir, "known_hosts"),
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.KeyFile, pem.EncodeToMemory(block), 0o600))
	s.Know(t, hostKey.PublicKey())
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(login.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	go s.accept(l, config)
	return s
}

// Know makes the known hosts hold one key for the server.
func (s *SSHD) Know(t testing.TB, k ssh.PublicKey) {
	t.Helper()
	line := knownhosts.Line([]string{knownhosts.Normalize(s.Address)}, k) + "\n"
	require.NoError(t, os.WriteFile(s.KnownHosts, []byte(line), 0o600))
}

// Spec is how a host is reached over it.
func (s *SSHD) Spec() host.Spec {
	return host.Spec{SSH: "op@" + s.Address, KeyFile: s.KeyFile, KnownHosts: s.KnownHosts}
}

func (s *SSHD) accept(l net.Listener, config *ssh.ServerConfig) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, channels, requests, err := ssh.NewServerConn(c, config)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			for ch := range channels {
				if conn, requests, err := ch.Accept(); err == nil {
					go s.session(conn, requests)
				}
			}
		}()
	}
}

func (s *SSHD) session(conn ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "exec":
			r.Reply(true, nil)
			go run(conn, string(r.Payload[4:]))
		case "signal":
			s.Signals <- string(r.Payload[4:])
		default:
			r.Reply(false, nil)
		}
	}
}

func run(conn ssh.Channel, command string) {
	defer conn.Close()
	cmd := exec.Command("sh", "-c", command)
	cmd.Stdout, cmd.Stderr = conn, conn.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	go func() { io.Copy(in, conn); in.Close() }()
	cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	conn.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}
