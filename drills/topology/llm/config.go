// Package llm is the component kind "llm": vendors or instances that serve the
// same models through the OpenAI-compatible API, behind a gateway.
package llm

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// Config is what an llm component needs beyond its members. The members are the
// vendors, in order of priority.
type Config struct {
	// Strategy is how requests are meant to be spread: "priority", the first member
	// that works gets all; "balance", every member gets its share.
	Strategy string `json:"strategy,omitempty" jsonschema:"enum=priority,enum=balance"`
	// Models are the names that applications ask for.
	Models Models `json:"models"`
	// BasePath comes before the API's paths, at the route and at the members.
	BasePath string `json:"basePath,omitempty"`
	// Scheme is that of the route: http or https.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https"`
	// Key is a reference to the key that applications send to the route: env:NAME or
	// file:PATH.
	Key spec.Secret `json:"key,omitempty"`
	// Headers are sent along with every request to the route. They end up in
	// records: not for secrets.
	Headers map[string]string `json:"headers,omitempty"`
	// SecretHeaders are headers whose values are references to secrets.
	SecretHeaders map[string]spec.Secret `json:"secretHeaders,omitempty"`
	// Identify says how an answer tells who gave it.
	Identify Identify `json:"identify,omitzero"`
	// Vendors tell more about single members, by name.
	Vendors map[string]Vendor `json:"vendors,omitempty"`
	// Timeout is how long a member may take to list its models.
	Timeout spec.Duration `json:"timeout,omitempty"`
	// Settle is how long members may take to be back when everything is restored.
	Settle spec.Duration `json:"settle,omitempty"`
}

// Models are the names that applications ask for; the probe of an operation needs
// its model.
type Models struct {
	// Chat is the model of /chat/completions.
	Chat string `json:"chat,omitempty"`
	// Embedding is the model of /embeddings.
	Embedding string `json:"embedding,omitempty"`
	// Rerank is the model of /rerank.
	Rerank string `json:"rerank,omitempty"`
}

// Identify says how an answer tells who gave it.
type Identify struct {
	// By is what to look at: "fingerprint" (system_fingerprint), "model" (the model
	// that the answer names), or "header".
	By string `json:"by,omitempty" jsonschema:"enum=fingerprint,enum=model,enum=header"`
	// Header is the header's name.
	Header string `json:"header,omitempty"`
	// Values give the member for each value; a value that is not listed counts as the
	// member's name, if there is such a member.
	Values map[string]string `json:"values,omitempty"`
}

// Vendor tells more about a member.
type Vendor struct {
	// URL is where the member's API is, up to and without the base path; default
	// http://ADDRESS.
	URL string `json:"url,omitempty"`
	// Key is a reference to the key that the gateway sends to this member; firedrill
	// uses it to look at the member itself.
	Key spec.Secret `json:"key,omitempty"`
	// Price is what the member asks for a million tokens.
	Price Price `json:"price,omitzero"`
}

// Price is in any currency, per million tokens.
type Price struct {
	In  float64 `json:"in,omitempty"`
	Out float64 `json:"out,omitempty"`
}

// Defaults are the values of what a file leaves out.
func Defaults() Config {
	return Config{
		Strategy: "priority", BasePath: "/v1", Scheme: "http", Identify: Identify{By: "fingerprint"},
		Timeout: spec.Duration(2 * time.Second), Settle: spec.Duration(15 * time.Second),
	}
}

// Kind is the catalogue entry.
func Kind() kind.Kind[topology.NewAdapter] {
	return kind.New("llm", "Vendors or instances that serve the same models (OpenAI-compatible API) behind a gateway.",
		Defaults(), func(cfg Config) (topology.NewAdapter, error) {
			if err := cfg.check(); err != nil {
				return nil, err
			}
			return func(c *topology.Component) (topology.Adapter, error) { return newAdapter(cfg, c) }, nil
		})
}

func (cfg Config) check() error {
	switch {
	case cfg.Models == (Models{}):
		return errors.New("with.models: name at least one model")
	case cfg.BasePath != "" && !strings.HasPrefix(cfg.BasePath, "/"):
		return fmt.Errorf("with.basePath: %q: want a path that begins with /", cfg.BasePath)
	case cfg.Identify.By == "header" && cfg.Identify.Header == "":
		return errors.New("with.identify.header: name the header")
	case cfg.Timeout <= 0 || cfg.Settle <= 0:
		return errors.New("with: timeout and settle must be longer than 0s")
	}
	for name, v := range cfg.Vendors {
		if v.URL == "" {
			continue
		}
		if u, err := url.Parse(v.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("with.vendors.%s.url: %q: want http://HOST or https://HOST", name, v.URL)
		}
	}
	return nil
}

// checkMembers refuses names that are none of the component's.
func (cfg Config) checkMembers(c *topology.Component) error {
	for name := range cfg.Vendors {
		if _, err := c.Member(name); err != nil {
			return fmt.Errorf("with.vendors: %w", err)
		}
	}
	for value, name := range cfg.Identify.Values {
		if _, err := c.Member(name); err != nil {
			return fmt.Errorf("with.identify.values.%s: %w", value, err)
		}
	}
	if p := c.Spec.FaultPoint; p != nil {
		for name := range p.Listen {
			if _, err := c.Member(name); err != nil {
				return fmt.Errorf("faultPoint.listen: %w", err)
			}
		}
	}
	return nil
}

// ConfigOf returns the configuration of a component of kind llm.
func ConfigOf(c *topology.Component) (Config, error) {
	if c == nil {
		return Config{}, errors.New("no component given: want one of kind llm")
	}
	if c.Spec.Kind != "llm" {
		return Config{}, fmt.Errorf("component %s is of kind %q: want one of kind llm", c.Name(), c.Spec.Kind)
	}
	echo := kind.Of("component", kind.New("llm", "", Defaults(), func(cfg Config) (Config, error) { return cfg, cfg.check() }))
	cfg, err := echo.Build("llm", c.Spec.With)
	if err != nil {
		return cfg, fmt.Errorf("component %s: %w", c.Name(), err)
	}
	return cfg, nil
}

// Base is the URL of a member's API, base path included: through the fault point,
// where there is one, as the gateway reaches it.
func (cfg Config) Base(c *topology.Component, m *topology.Member) string {
	root := "http://" + m.Address()
	if v := cfg.Vendors[m.Name()]; v.URL != "" {
		root = strings.TrimSuffix(v.URL, "/")
	}
	if through := c.Spec.FaultPoint.URL(m.Name()); through != "" {
		root = through
	}
	return root + cfg.BasePath
}

// Client makes requests to what Base says: each on a connection of its own, as each
// tells of the moment it was made in. It follows no redirect.
func Client(c *topology.Component) *http.Client {
	return &http.Client{
		Transport:     c.Spec.FaultPoint.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Who names the member that gave an answer with these marks, "" if they do not
// tell. header returns the value of an answer's header.
func (cfg Config) Who(c *topology.Component, fingerprint, model string, header func(string) string) string {
	value := fingerprint
	switch cfg.Identify.By {
	case "model":
		value = model
	case "header":
		value = header(cfg.Identify.Header)
	}
	if name, ok := cfg.Identify.Values[value]; ok {
		return name
	}
	if _, err := c.Member(value); err != nil {
		return ""
	}
	return value
}

// dated is what vendors put behind a model's name for one version of it.
var dated = regexp.MustCompile(`^[-@](\d{4}(-\d{2}){0,2}|\d{2}-\d{2}|\d{2}-\d{4}|\d{6}|\d{8})$`)

// SameModel tells whether an answer that names a model can be of the model that was
// asked for: it is, or one version of it. An answer that names none may be anybody's.
func SameModel(asked, answered string) bool {
	rest, ok := strings.CutPrefix(answered, asked)
	return answered == "" || ok && (rest == "" || dated.MatchString(rest))
}
