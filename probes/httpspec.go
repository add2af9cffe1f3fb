package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/spec"
)

// HTTPSpec is the request of an http probe and the answer it wants. The request
// goes to the probe's address over HTTP/1.1, without a proxy.
type HTTPSpec struct {
	// Scheme is http or https.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https"`
	Method string `json:"method,omitempty"`
	// Path is the request's path, with the query if there is one.
	Path string `json:"path,omitempty" jsonschema:"pattern=^/"`
	// Host is the Host header, where it is not the address.
	Host string `json:"host,omitempty"`
	// Headers are sent as they are written.
	Headers map[string]string `json:"headers,omitempty"`
	// SecretHeaders are sent with the value that the reference leads to.
	SecretHeaders map[string]spec.Secret `json:"secretHeaders,omitempty"`
	// Body is sent as it is written.
	Body string `json:"body,omitempty"`
	// ExpectStatus lists the status codes that count as good (default 200-299).
	ExpectStatus StatusSet `json:"expectStatus,omitempty"`
	// ExpectBody is a regular expression (RE2) that the first MiB of the body must
	// contain.
	ExpectBody string `json:"expectBody,omitempty"`
	// MemberHeader is the response header that names the member that answered.
	MemberHeader string  `json:"memberHeader,omitempty"`
	TLS          HTTPTLS `json:"tls,omitzero"`
}

// HTTPTLS says whom an https probe trusts.
type HTTPTLS struct {
	// CAFile holds the certificates (PEM) to trust instead of the system's.
	CAFile string `json:"caFile,omitempty"`
	// ServerName is the name that the certificate must have, where it is not the
	// address's host.
	ServerName string `json:"serverName,omitempty"`
	// Insecure accepts any certificate.
	Insecure bool `json:"insecure,omitempty"`
}

func newHTTP(s HTTPSpec) (drills.ProbeKind, error) {
	var problems []error
	if !slices.Contains([]string{"http", "https"}, s.Scheme) {
		problems = append(problems, fmt.Errorf("scheme: %q: want http or https", s.Scheme))
	}
	if !strings.HasPrefix(s.Path, "/") {
		problems = append(problems, fmt.Errorf("path: %q: must begin with /", s.Path))
	}
	if s.Scheme == "http" && s.TLS != (HTTPTLS{}) {
		problems = append(problems, errors.New("tls: has no effect without scheme: https"))
	}
	if len(s.ExpectStatus) == 0 {
		problems = append(problems, errors.New("expectStatus: name at least one status"))
	}
	k := &httpKind{spec: s}
	if s.ExpectBody != "" {
		re, err := regexp.Compile(s.ExpectBody)
		if err != nil {
			problems = append(problems, fmt.Errorf("expectBody: %w", err))
		}
		k.body = re
	}
	if _, err := http.NewRequestWithContext(context.Background(), s.Method, s.Scheme+"://probe"+s.Path, nil); err != nil {
		problems = append(problems, fmt.Errorf("method, path: %w", err))
	}
	return k, errors.Join(problems...)
}

// headers returns the headers with their secrets, and the secrets.
func (s HTTPSpec) headers() (http.Header, redactor, error) {
	h := http.Header{"User-Agent": {"firedrill"}}
	for name, v := range s.Headers {
		h.Set(name, v)
	}
	var secrets redactor
	for name, ref := range s.SecretHeaders {
		v, err := ref.Resolve()
		if err != nil {
			return nil, nil, fmt.Errorf("header %s: %w", name, err)
		}
		h.Set(name, v)
		secrets = append(secrets, v)
	}
	return h, secrets, nil
}

// config returns the client's TLS settings for a server at host.
func (t HTTPTLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: t.Insecure}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls: caFile: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: caFile %s: holds no PEM certificate", t.CAFile)
	}
	return c, nil
}
