package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net"
	"os"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"firedrill/drills/spec"
)

// Connector makes connections to one server as cfg.User. timeout bounds dialling
// and each read and write; 0 leaves that to the context. No database is selected:
// statements name theirs. Arguments are interpolated by the client (one round
// trip per statement); several statements in one string are refused.
func Connector(cfg Config, address string, timeout time.Duration) (driver.Connector, error) {
	password, err := cfg.Password.Resolve()
	if err != nil {
		return nil, err
	}
	d := driverpkg.NewConfig()
	d.User, d.Passwd = cfg.User, password
	d.Net, d.Addr = "tcp", address
	d.Timeout, d.ReadTimeout, d.WriteTimeout = timeout, timeout, timeout
	d.InterpolateParams = true
	d.MultiStatements = false
	d.AllowNativePasswords = true
	d.ConnectionAttributes = "program_name:firedrill"
	// The driver would print to standard error what it also returns.
	d.Logger = &driverpkg.NopLogger{}
	if d.TLS, err = tlsConfig(cfg, address); err != nil {
		return nil, err
	}
	d.AllowFallbackToPlaintext = cfg.TLS == "preferred"
	c, err := driverpkg.NewConnector(d)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to %s: %w", address, err)
	}
	return c, nil
}

// tlsConfig returns nil when connections are not encrypted.
func tlsConfig(cfg Config, address string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port: %w", address, err)
	}
	switch cfg.TLS {
	case "", "off":
		return nil, nil
	case "preferred", "skip-verify":
		return &tls.Config{InsecureSkipVerify: true, ServerName: host}, nil
	case "verify":
	default:
		return nil, fmt.Errorf("%q: want off, preferred, skip-verify or verify", cfg.TLS)
	}
	t := &tls.Config{ServerName: host}
	if cfg.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authorities %s: no PEM certificate in it", cfg.CA)
	}
	return t, nil
}

// Open makes a Server for one address. It contacts nothing.
func Open(cfg Config, address string) (*Server, error) {
	c, err := Connector(cfg, address, 0)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	return &Server{cfg: cfg, address: address, db: db}, nil
}

// resolved returns a secret's value, or "" if there is none.
func resolved(ref string) string {
	v, err := spec.Secret(ref).Resolve()
	if err != nil {
		return ""
	}
	return v
}
