// Package mysql is the component kind "mysql": MariaDB and MySQL servers that
// replicate asynchronously or semi-synchronously by global transaction ids.
package mysql

import (
	"encoding/json"
	"errors"
	"fmt"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// Config is what a mysql component needs beyond its members.
type Config struct {
	// User is the account that firedrill manages the servers with.
	User string `json:"user"`
	// Password is a reference to its password: env:NAME or file:PATH.
	Password spec.Secret `json:"password,omitempty"`
	// Application is the account that the probes connect with, the way applications
	// do: it must not be allowed to write to a read-only server. Empty: User.
	Application Account `json:"application,omitzero"`
	// Database is where writing probes make their tables; it is made if it is not
	// there.
	Database string `json:"database,omitempty"`
	// Replication is what members log in to each other with.
	Replication Replication `json:"replication,omitzero"`
	// TLS says whether connections are encrypted: off, preferred (if the server
	// offers it), skip-verify (encrypted, certificate not checked) or verify.
	TLS string `json:"tls,omitempty" jsonschema:"enum=off,enum=preferred,enum=skip-verify,enum=verify"`
	// CA is a PEM file with the authorities that "verify" trusts; empty: the host's.
	CA string `json:"ca,omitempty"`
	// Reclone is a command that rebuilds a diverged member from the primary, with
	// the placeholders {member} and {primary} (names), {member.address} and
	// {primary.address}. It returns once the member answers, with the primary's
	// data and GTID position. Without it a diverged member is kept out.
	Reclone []string `json:"reclone,omitempty"`
}

// Account is a login.
type Account struct {
	User string `json:"user,omitempty"`
	// Password is a reference to its password: env:NAME or file:PATH.
	Password spec.Secret `json:"password,omitempty"`
}

// AsApplication returns the configuration with the application's account.
func (cfg Config) AsApplication() Config {
	if cfg.Application.User != "" {
		cfg.User, cfg.Password = cfg.Application.User, cfg.Application.Password
	}
	return cfg
}

// Replication is how members reach each other.
type Replication struct {
	// User is the replication account. Empty: a member that follows keeps the
	// account that it has, and one that has none cannot be made to follow.
	User string `json:"user,omitempty"`
	// Password is a reference to its password.
	Password spec.Secret `json:"password,omitempty"`
	// Addresses are host:port of members as the other members reach them, by
	// member name, where they differ from the members' addresses.
	Addresses map[string]string `json:"addresses,omitempty"`
}

// Defaults are the values of what a file leaves out.
func Defaults() Config { return Config{Database: "firedrill", TLS: "off"} }

// Kind is the catalogue entry.
func Kind() kind.Kind[topology.NewAdapter] {
	return kind.New("mysql", "MariaDB or MySQL servers that replicate by GTID: one primary, any number of replicas.",
		Defaults(), func(cfg Config) (topology.NewAdapter, error) {
			if err := cfg.check(); err != nil {
				return nil, err
			}
			return func(c *topology.Component) (topology.Adapter, error) { return newAdapter(cfg, c) }, nil
		})
}

func (cfg Config) check() error {
	if cfg.User == "" {
		return errors.New("with.user: name the account that manages the servers")
	}
	if _, err := tlsConfig(cfg, "localhost:3306"); err != nil {
		return fmt.Errorf("with.tls: %w", err)
	}
	return nil
}

// ConfigOf returns the configuration of a component of kind mysql.
func ConfigOf(c *topology.Component) (Config, error) {
	if c == nil {
		return Config{}, errors.New("no component given: want one of kind mysql")
	}
	if c.Spec.Kind != "mysql" {
		return Config{}, fmt.Errorf("component %s is of kind %q: want one of kind mysql", c.Name(), c.Spec.Kind)
	}
	return parse(c.Name(), c.Spec.With)
}

// parse decodes the "with" of a component.
func parse(name string, with json.RawMessage) (Config, error) {
	echo := kind.Of("component", kind.New("mysql", "", Defaults(), func(c Config) (Config, error) { return c, c.check() }))
	cfg, err := echo.Build("mysql", with)
	if err != nil {
		return cfg, fmt.Errorf("component %s: %w", name, err)
	}
	return cfg, nil
}
