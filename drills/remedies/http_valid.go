package remedies

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"firedrill/drills"
)

// valid refuses what cannot work with whatever the placeholders stand for.
func (c *httpCall) valid(field string) error {
	if _, err := http.NewRequestWithContext(context.Background(), c.Method, "http://x", nil); err != nil {
		return fmt.Errorf("%s.method: %w", field, err)
	}
	if err := validURL(c.URL); err != nil {
		return fmt.Errorf("%s.url: %w", field, err)
	}
	if err := validExpression(c.ExpectBody); err != nil {
		return fmt.Errorf("%s.expectBody: %w", field, err)
	}
	if c.Check == nil {
		return nil
	}
	if err := validURL(c.Check.URL); err != nil {
		return fmt.Errorf("%s.check.url: %w", field, err)
	}
	if err := validExpression(c.Check.ExpectBody); err != nil {
		return fmt.Errorf("%s.check.expectBody: %w", field, err)
	}
	return nil
}

// anyPlaceholder is replaced by a word while nothing is known of the target.
var anyPlaceholder = regexp.MustCompile(`\{(component|members|primary|next)\}`)

func validURL(text string) error {
	u, err := url.Parse(anyPlaceholder.ReplaceAllString(text, "x"))
	switch {
	case err != nil:
		return errors.New("want a URL such as http://HOST:PORT/PATH") // the error would repeat a password
	case u.User != nil:
		return errors.New("must hold no user name and password: they would end up in records; use secretHeaders")
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q: want http://HOST… or https://HOST…", text)
	}
	return nil
}

func validExpression(text string) error {
	_, err := regexp.Compile(anyPlaceholder.ReplaceAllString(text, "x"))
	return err
}

// at is the call with its placeholders replaced.
func (c *httpCall) at(t drills.Target) (*httpCall, error) {
	out := *c
	texts, err := placed(t, c.URL, c.Body)
	if err != nil {
		return nil, err
	}
	out.URL, out.Body = texts[0], texts[1]
	if out.ExpectBody, err = placedExpression(t, c.ExpectBody); err != nil {
		return nil, err
	}
	out.Headers = map[string]string{}
	for name, value := range c.Headers {
		if texts, err = placed(t, value); err != nil {
			return nil, err
		}
		out.Headers[name] = texts[0]
	}
	out.Check, err = c.Check.at(t)
	return &out, err
}

func (k *HTTPCheck) at(t drills.Target) (*HTTPCheck, error) {
	if k == nil {
		return nil, nil
	}
	out := *k
	texts, err := placed(t, k.URL)
	if err != nil {
		return nil, err
	}
	out.URL = texts[0]
	out.ExpectBody, err = placedExpression(t, k.ExpectBody)
	return &out, err
}

// placedExpression replaces placeholders by what matches their text.
func placedExpression(t drills.Target, text string) (string, error) {
	var err error
	return anyPlaceholder.ReplaceAllStringFunc(text, func(p string) string {
		texts, perr := placed(t, p)
		if perr != nil {
			err = perr
			return p
		}
		return regexp.QuoteMeta(texts[0])
	}), err
}
