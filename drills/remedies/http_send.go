package remedies

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// send returns the answer's status line, or an error that names URL, status and
// the first line of the body.
func (c *httpCall) send(ctx context.Context, method, at, body string, status []int, want string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("call %s %s: %w", method, at, err) }
	req, hide, err := c.request(ctx, method, at, body)
	if err != nil {
		return fail(err)
	}
	trust, err := c.trust()
	if err != nil {
		return fail(err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return fail(why(ctx, err))
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fail(fmt.Errorf("%s, and then: %w", resp.Status, why(ctx, err)))
	}
	line := oneLine([]byte(hide.Replace(string(got))))
	if !expected(status, resp.StatusCode) {
		return fail(fmt.Errorf("%s: %s", resp.Status, line))
	}
	re, err := regexp.Compile(want)
	if err != nil {
		return fail(fmt.Errorf("expectBody: %w", err))
	}
	if !re.Match(got) {
		return fail(fmt.Errorf("%s, but the answer does not match %q: %s", resp.Status, want, line))
	}
	return resp.Status, nil
}

// request returns the request, and what hides its secrets.
func (c *httpCall) request(ctx context.Context, method, at, body string) (*http.Request, *strings.Replacer, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "firedrill")
	if method != http.MethodGet && c.Key != "" {
		req.Header.Set("Idempotency-Key", c.Key)
	}
	if json.Valid([]byte(body)) {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	var hide []string
	for name, ref := range c.SecretHeaders {
		value, err := ref.Resolve()
		if err != nil {
			return nil, nil, fmt.Errorf("header %s: %w", name, err)
		}
		req.Header.Set(name, value)
		if hide = append(hide, value, "[secret]"); value == "" {
			return nil, nil, fmt.Errorf("header %s: secret %s is empty", name, ref)
		}
		if _, bare, ok := strings.Cut(value, " "); ok && bare != "" { // "Bearer KEY"
			hide = append(hide, bare, "[secret]")
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, strings.NewReplacer(hide...), nil
}

// trust is the TLS configuration; nil means the system's certificates.
func (c *httpCall) trust() (*tls.Config, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("caFile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile %s: holds no PEM certificate", c.CAFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

func expected(status []int, got int) bool {
	if len(status) == 0 {
		return got >= 200 && got <= 299
	}
	return slices.Contains(status, got)
}

// why says what a failed exchange came to; the URL is for the caller to name.
func why(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: nothing listens there")
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("connection reset")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended in the middle of the answer")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	}
	return err
}

// oneLine is the first line of an answer, or all of it if it is JSON; at most 200
// bytes.
func oneLine(body []byte) string {
	var flat bytes.Buffer
	if json.Compact(&flat, body) == nil {
		body = flat.Bytes()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], "")
}
