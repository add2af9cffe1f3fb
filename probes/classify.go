package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// classOf names what a failed look at the service means. An error that says
// nothing about the network is otherwise.
func classOf(ctx context.Context, err error, otherwise timeline.Class) timeline.Class {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled) || runnersFault(err):
		return timeline.NoData
	case errors.As(err, &dns):
		return timeline.DNS
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return timeline.Timeout
	case isTLS(err):
		return timeline.TLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return timeline.Refused
	case isCut(err):
		return timeline.Reset
	case isUnreachable(err):
		return timeline.Unreachable
	}
	return otherwise
}

// runnersFault tells whether the runner's own machine had nothing left to look
// with: that says nothing about the service.
func runnersFault(err error) bool {
	return anyOf(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAGAIN)
}

func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		anyOf(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED)
}

// isUnreachable includes EPERM and EACCES, which a packet filter that rejects
// outgoing packets gives.
func isUnreachable(err error) bool {
	return anyOf(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EPERM, syscall.EACCES)
}

func anyOf(err error, these ...syscall.Errno) bool {
	for _, e := range these {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &cert) ||
		errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

// failed is the observation of a look that ended in err.
func failed(ctx context.Context, err error, otherwise timeline.Class) drills.Observation {
	return drills.Observation{Class: classOf(ctx, err, otherwise), Detail: firstLine(err.Error())}
}

// firstLine returns what stands before the first line break.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}
