package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// authority signs the certificates of a cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// pem is the certificate as files have it.
	pem string
}

// pair is a certificate and its key as files have them.
type pair struct{ cert, key string }

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := certificate(pkix.Name{CommonName: "firedrill lab"})
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key, pem: block("CERTIFICATE", der)}, err
}

// certificate is valid from an hour ago, as clocks differ, for a year.
func certificate(subject pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
}

// issue makes a certificate for a subject, as a server at these addresses and names
// or, without any, as a client.
func (a *authority) issue(subject pkix.Name, hosts ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	t := certificate(subject)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("issue certificate for %s: %w", subject.CommonName, err)
	}
	text, err := keyText(key)
	return pair{cert: block("CERTIFICATE", der), key: text}, err
}

// server issues the certificate of a server.
func (a *authority) server(name string, hosts ...string) (pair, error) {
	return a.issue(pkix.Name{CommonName: name}, hosts...)
}

// newSigner makes the key pair that service account tokens are signed with.
func newSigner() (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return pair{}, err
	}
	text, err := keyText(key)
	return pair{cert: block("PUBLIC KEY", der), key: text}, err
}

func keyText(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return block("EC PRIVATE KEY", der), err
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// identity is a user of the API server.
type identity struct {
	user, group, token string
}

func newIdentity(user, group string) identity { return identity{user, group, rand.Text()} }

// tokens is the API server's file of static tokens.
func tokens(all []identity) string {
	var b strings.Builder
	for i, who := range all {
		fmt.Fprintf(&b, "%s,%s,%d,%q\n", who.token, who.user, i+1, who.group)
	}
	return b.String()
}

// kubeconfig is how a client of the API server finds it and logs in.
func (who identity) kubeconfig(ca string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster:
    server: https://%s:%d
    certificate-authority-data: %s
contexts:
- name: lab
  context: {cluster: lab, user: %s, namespace: %s}
users:
- name: %s
  user: {token: %s}
`, kubeHost, apiPort, base64.StdEncoding.EncodeToString([]byte(ca)), who.user, ShopNamespace, who.user, who.token)
}
