package sampling_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

func TestClassOf(t *testing.T) {
	call := func(e error) error {
		return fmt.Errorf("get: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", e)})
	}
	for _, c := range []struct {
		err  error
		want timeline.Class
	}{
		{nil, timeline.OK},
		{call(syscall.ECONNREFUSED), timeline.Refused},
		{call(syscall.ECONNRESET), timeline.Reset},
		{call(syscall.EPIPE), timeline.Reset},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), timeline.Reset},
		{io.EOF, timeline.Reset},
		{call(syscall.ETIMEDOUT), timeline.Timeout},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), timeline.Timeout},
		{os.ErrDeadlineExceeded, timeline.Timeout},
		{call(syscall.EHOSTUNREACH), timeline.Unreachable},
		{call(syscall.ENETUNREACH), timeline.Unreachable},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "db"}}, timeline.DNS},
		{&net.DNSError{Err: "i/o timeout", Name: "db", IsTimeout: true}, timeline.DNS},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, timeline.TLS},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, timeline.TLS},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, timeline.TLS},
		{x509.HostnameError{Host: "db", Certificate: new(x509.Certificate)}, timeline.TLS},
		{errors.New("syntax error"), timeline.Error},
		// What the runner brought upon itself says nothing about the service.
		{context.Canceled, timeline.NoData},
		{call(syscall.EMFILE), timeline.NoData},
		{call(syscall.EADDRNOTAVAIL), timeline.NoData},
	} {
		require.Equal(t, c.want, sampling.ClassOf(c.err), "%v", c.err)
	}
}

// The errors that the standard library really makes.
func TestClassOfRealConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}()
	addr := ln.Addr().String()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.Equal(t, timeline.Timeout, sampling.ClassOf(err), "%v", err)
	require.NoError(t, c.SetDeadline(time.Time{}))
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.Equal(t, timeline.Reset, sampling.ClassOf(err), "%v", err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var d net.Dialer
	_, err = d.DialContext(ctx, "tcp", addr)
	require.Equal(t, timeline.NoData, sampling.ClassOf(err), "%v", err)

	require.NoError(t, ln.Close())
	_, err = net.Dial("tcp", addr)
	require.Equal(t, timeline.Refused, sampling.ClassOf(err), "%v", err)
}
