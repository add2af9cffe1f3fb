package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// config says how to log in and which host to trust. The agent's connection is to
// be closed after the login.
func (r *remote) config(ctx context.Context) (*ssh.ClientConfig, func(), error) {
	trust, algorithms, err := r.trust()
	if err != nil {
		return nil, nil, err
	}
	auth, done, err := r.auth(ctx)
	if err != nil {
		return nil, nil, err
	}
	return &ssh.ClientConfig{
		User: r.user, Auth: []ssh.AuthMethod{auth},
		HostKeyCallback: trust, HostKeyAlgorithms: algorithms, Timeout: connectLimit,
	}, done, nil
}

// trust reads the known hosts. The key types that are known for the host are the
// ones to ask it for, or it might offer one that nobody has recorded.
func (r *remote) trust() (ssh.HostKeyCallback, []string, error) {
	path := r.spec.KnownHosts
	if path == "" {
		path = home(".ssh/known_hosts")
	}
	known, err := knownhosts.New(path)
	if err != nil {
		return nil, nil, fmt.Errorf("known hosts: %w", err)
	}
	var algorithms []string
	keyErr, _ := errors.AsType[*knownhosts.KeyError](known(r.address, &net.TCPAddr{IP: net.IPv4zero}, noKey{}))
	if keyErr == nil || len(keyErr.Want) == 0 {
		return nil, nil, fmt.Errorf("host %s has no key in %s: record it there first (ssh-keyscan, after checking the fingerprint)", r.address, path)
	}
	for _, k := range keyErr.Want {
		if t := k.Key.Type(); t == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, t)
		}
	}
	return func(name string, at net.Addr, key ssh.PublicKey) error {
		err := known(name, at, key)
		if keyErr, ok := errors.AsType[*knownhosts.KeyError](err); ok {
			return fmt.Errorf("host %s shows key %s, which is not the one in %s (%d known): refused",
				name, ssh.FingerprintSHA256(key), path, len(keyErr.Want))
		}
		return err
	}, algorithms, nil
}

// noKey is a key that no host has; asking for it makes known hosts say which they want.
type noKey struct{}

// Type implements ssh.PublicKey.
func (noKey) Type() string { return "none" }

// Marshal implements ssh.PublicKey.
func (noKey) Marshal() []byte { return []byte("none") }

// Verify implements ssh.PublicKey.
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// auth collects the keys of the file and of the agent.
func (r *remote) auth(ctx context.Context) (ssh.AuthMethod, func(), error) {
	signers, err := r.fileKeys()
	if err != nil {
		return nil, nil, err
	}
	done := func() {}
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" {
		// An agent that is gone is no reason to refuse while a key file is there.
		if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
			done = func() { conn.Close() }
			if more, err := agent.NewClient(conn).Signers(); err == nil {
				signers = append(signers, more...)
			}
		}
	}
	if len(signers) == 0 {
		done()
		return nil, nil, errors.New("no private key: set keyFile, or start an agent (SSH_AUTH_SOCK)")
	}
	return ssh.PublicKeys(signers...), done, nil
}

func (r *remote) fileKeys() ([]ssh.Signer, error) {
	if r.spec.KeyFile != "" {
		s, err := r.readKey(r.spec.KeyFile)
		return []ssh.Signer{s}, err
	}
	var signers []ssh.Signer
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		s, err := r.readKey(home(".ssh/" + name))
		// One that needs a passphrase is the agent's business.
		if missing, _ := errors.AsType[*ssh.PassphraseMissingError](err); missing != nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	return signers, nil
}

func (r *remote) readKey(path string) (ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	pass, err := r.spec.Passphrase.Resolve()
	if err != nil {
		return nil, fmt.Errorf("key file %s: passphrase: %w", path, err)
	}
	var s ssh.Signer
	if pass == "" {
		s, err = ssh.ParsePrivateKey(b)
	} else {
		s, err = ssh.ParsePrivateKeyWithPassphrase(b, []byte(pass))
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return s, nil
}

func home(name string) string {
	h, err := os.UserHomeDir()
	if err != nil {
		h = "/"
	}
	return filepath.Join(h, name)
}
