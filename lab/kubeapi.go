package lab

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
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// clusterSecret is the file with the administrator's token, authorityFile that with
// the certificate that all servers' certificates are signed with.
const (
	clusterSecret = "admin"
	authorityFile = "ca.crt"
)

// kubeconfig is the path of the administrator's kubeconfig, which only the caller
// reads.
func (k *kubernetes) kubeconfig() string { return filepath.Join(k.state, "kubeconfig") }

// keepAccess keeps what the lab itself and its users reach the API server with.
func (k *kubernetes) keepAccess(ca *authority, admin identity) error {
	if err := k.writeSecret(clusterSecret, admin.token); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(k.state, authorityFile), []byte(ca.pem), 0o600); err != nil {
		return err
	}
	return renameio.WriteFile(k.kubeconfig(), []byte(admin.kubeconfig(ca.pem)), 0o600)
}

// askWithin bounds one request to a component.
const askWithin = 10 * time.Second

// call asks the API server as the administrator; a body is sent as it is, and an
// answer is decoded into into, unless that is nil. A patch in YAML is what somebody
// applies, one in JSON is merged.
func (k *kubernetes) call(ctx context.Context, method, path string, body []byte, into any) error {
	token, err := k.secret(clusterSecret).Resolve()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s:%d%s", kubeHost, apiPort, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	switch method {
	case http.MethodPatch:
		req.Header.Set("Content-Type", "application/apply-patch+yaml")
		if bytes.HasPrefix(body, []byte("{")) {
			req.Header.Set("Content-Type", "application/merge-patch+json")
		}
	case http.MethodPost:
		req.Header.Set("Content-Type", "application/json")
	}
	text, err := k.do(ctx, k.namespace, req)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// answers returns nil if a component answers a GET with 2xx.
func (k *kubernetes) answers(ctx context.Context, namespace, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	_, err = k.do(ctx, namespace, req)
	return err
}

// statusError is an answer with a status other than 2xx.
type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return e.text }

// do makes a request on a connection of its own from within a namespace.
func (k *kubernetes) do(ctx context.Context, namespace string, req *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	trusted := x509.NewCertPool()
	if req.URL.Scheme == "https" {
		ca, err := os.ReadFile(filepath.Join(k.state, authorityFile))
		if err != nil {
			return nil, err
		}
		trusted.AppendCertsFromPEM(ca)
	}
	t := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return DialInside(ctx, namespace, network, address)
		},
	}
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req.WithContext(ctx)) // within its own limit
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = statusError{resp.StatusCode, fmt.Sprintf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, text)}
	}
	return text, err
}

// reaches returns nil if something accepts connections at an address.
func (k *kubernetes) reaches(ctx context.Context, namespace, network, address string) error {
	conn, err := DialInside(ctx, namespace, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// object is what names an object of Kubernetes.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// collection is the path that objects like this one are below. The plurals of all
// kinds that the lab has end in s.
func (o object) collection() string {
	path := "/apis/" + o.APIVersion
	if !strings.Contains(o.APIVersion, "/") {
		path = "/api/" + o.APIVersion
	}
	if o.Metadata.Namespace != "" {
		path += "/namespaces/" + o.Metadata.Namespace
	}
	return path + "/" + strings.ToLower(o.Kind) + "s"
}

// apply makes the objects of a YAML text what it says, whatever they were.
func (k *kubernetes) apply(ctx context.Context, manifest string) error {
	for _, doc := range strings.Split(manifest, "\n---") {
		o, err := head(doc)
		if err != nil {
			return err
		}
		if o.Kind == "" {
			continue // comments only
		}
		path := o.collection() + "/" + o.Metadata.Name + "?fieldManager=firedrill-lab&force=true"
		if err := k.call(ctx, http.MethodPatch, path, []byte(doc), nil); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.Kind, o.Metadata.Name, err)
		}
	}
	return nil
}

// head reads what names an object: in the lab's own manifests and in those of Chaos
// Mesh nothing else is indented that way.
func head(doc string) (o object, err error) {
	section := ""
	for line := range strings.Lines(doc) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ":")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		value = strings.Trim(value, " \"")
		if !strings.HasPrefix(key, " ") {
			section = key
		}
		switch {
		case key == "apiVersion":
			o.APIVersion = value
		case key == "kind":
			o.Kind = value
		case section == "metadata" && key == "  name":
			o.Metadata.Name = value
		case section == "metadata" && key == "  namespace":
			o.Metadata.Namespace = value
		}
	}
	if o.Kind != "" && (o.APIVersion == "" || o.Metadata.Name == "") {
		return o, errors.New("a manifest has no apiVersion or name")
	}
	return o, nil
}
