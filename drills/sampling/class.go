package sampling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"firedrill/drills/timeline"
)

// ClassOf returns what a network error means for a sample. A nil error is OK.
// What the runner brought upon itself (a cancelled look, no descriptor, port or
// memory left) is NoData: it says nothing about the service. Protocols that know
// more than the network does (SQLSTATE, HTTP status) classify before they ask here.
func ClassOf(err error) timeline.Class {
	if err == nil {
		return timeline.OK
	}
	// The order matters: a DNS error may be a timeout too, and a TLS error is
	// wrapped in the network's.
	for _, c := range classes() {
		if c.is(err) {
			return c.class
		}
	}
	return timeline.Error
}

// class is a class and its errors.
type class struct {
	class timeline.Class
	is    func(error) bool
}

// classes are tried in order.
func classes() []class {
	return []class{
		{timeline.NoData, isAny(context.Canceled, syscall.EMFILE, syscall.ENFILE,
			syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM)},
		{timeline.DNS, is[*net.DNSError]},
		{timeline.Refused, isAny(syscall.ECONNREFUSED)},
		{timeline.Unreachable, isAny(syscall.EHOSTUNREACH, syscall.ENETUNREACH,
			syscall.EHOSTDOWN, syscall.ENETDOWN)},
		{timeline.Reset, isAny(syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED,
			io.EOF, io.ErrUnexpectedEOF)},
		{timeline.Timeout, isTimeout},
		{timeline.TLS, isTLS},
	}
}

// isAny tells whether an error is one of several.
func isAny(of ...error) func(error) bool {
	return func(err error) bool {
		for _, e := range of {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
}

// is tells whether an error is of a type.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isTimeout tells whether an error is for want of an answer.
func isTimeout(err error) bool {
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return true
	}
	return isAny(context.DeadlineExceeded, os.ErrDeadlineExceeded, syscall.ETIMEDOUT)(err)
}

// isTLS tells whether an error is of the TLS handshake or of a certificate.
func isTLS(err error) bool {
	return is[tls.RecordHeaderError](err) || is[tls.AlertError](err) ||
		is[*tls.CertificateVerificationError](err) || is[x509.UnknownAuthorityError](err) ||
		is[x509.HostnameError](err) || is[x509.CertificateInvalidError](err)
}
