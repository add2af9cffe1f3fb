package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// lists returns nil if a vendor lists its models at the URL.
func (l *models) lists(ctx context.Context, url string) error {
	_, err := l.ask(ctx, http.MethodGet, url+"/v1/models", nil, nil)
	return err
}

// chats asks for a small answer the way applications do and names the vendor that
// gave it.
func (l *models) chats(ctx context.Context) (string, error) {
	answer, err := l.ask(ctx, http.MethodPost, "http://"+l.Route+"/v1/chat/completions", l.gateway.headers(), map[string]any{
		"model": chatModel, "user": "firedrill-lab", "max_tokens": 4,
		"messages": []map[string]string{{"role": "user", "content": "Are you there?"}},
	})
	if err != nil {
		return "", err
	}
	who := answer.Get(vendorHeader)
	if who == "" {
		return "", fmt.Errorf("the answer has no header %s", vendorHeader)
	}
	return who, nil
}

// ask makes a request on a connection of its own, from within the lab's namespace,
// and returns the headers of an answer that is JSON.
func (l *models) ask(ctx context.Context, method, url string, headers map[string]string, body any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, routeWithin)
	defer cancel()
	req, err := l.request(ctx, method, url, headers, body)
	if err != nil {
		return nil, err
	}
	point := l.pointSpec()
	dial := func(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = inside(l.namespace, func() error {
				c, err = dial(ctx, network, address)
				return err
			})
			return c, err
		}
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: dial(point.Dial), DialTLSContext: dial(point.DialTLS)}
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %.200s", resp.Status, strings.TrimSpace(string(text)))
	case !json.Valid(text):
		return nil, errors.New("the answer is not JSON")
	}
	return resp.Header, nil
}

func (l *models) request(ctx context.Context, method, url string, headers map[string]string, body any) (*http.Request, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, text)
	if err != nil {
		return nil, err
	}
	key, err := l.secret(keySecret).Resolve()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return req, nil
}
