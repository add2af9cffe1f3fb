package faultpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Certified is what it takes to listen with TLS, as PEM: the certificate, its key,
// and the authority that clients are to trust. The authority's key is kept by
// nobody.
type Certified struct{ CA, Cert, Key []byte }

// certifiedFor is for how many years a certificate is good.
const certifiedFor = 10

// Certify makes an authority and a certificate for hosts: names or IP addresses.
func Certify(hosts ...string) (c Certified, err error) {
	authority := template("firedrill CA", time.Now().AddDate(certifiedFor, 0, 0))
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	ca, err := issue(authority, nil)
	if err != nil {
		return c, fmt.Errorf("make certificate authority: %w", err)
	}
	leaf := template("firedrill fault point", authority.NotAfter)
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	pair, err := issue(leaf, &ca)
	if err != nil {
		return c, fmt.Errorf("make certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return c, fmt.Errorf("write key: %w", err)
	}
	c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})
	c.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	c.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return c, nil
}

// backdated is how much slower than this host's a client's clock may go.
const backdated = time.Hour

func template(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-backdated), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// issue makes a key and a certificate for it, signed by an authority, or by itself
// if that is nil.
func issue(c *x509.Certificate, by *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	out := tls.Certificate{PrivateKey: key}
	parent, signer := c, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return out, err
	}
	out.Certificate = [][]byte{der}
	out.Leaf, err = x509.ParseCertificate(der)
	return out, err
}
