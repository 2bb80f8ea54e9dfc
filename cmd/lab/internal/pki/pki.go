// Package pki makes the certificates of a throw-away cluster and the kubeconfig
// files that hold them.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"
)

// lifetime of a certificate: a lab lives days, not years.
const lifetime = 365 * 24 * time.Hour

// Authority signs the cluster's certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte // the certificate that clients trust
}

// Identity is whom a certificate is for. Servers have hosts, clients groups.
type Identity struct {
	User   string
	Groups []string
	Hosts  []string
	IPs    []net.IP
}

// Pair is a certificate and its key, both in PEM.
type Pair struct{ Cert, Key []byte }

// NewAuthority makes an authority with a key of its own.
func NewAuthority() (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := certificate(Identity{User: "pgcat-failover-lab"})
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage |= x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	return &Authority{cert: cert, key: key, PEM: block("CERTIFICATE", der)}, nil
}

// Issue makes a certificate that serves as both client and server.
func (a *Authority) Issue(id Identity) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate(id), a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the certificate of %s: %w", id.User, err)
	}
	keyPEM, err := keyPEM(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: block("CERTIFICATE", der), Key: keyPEM}, nil
}

// NewSigningKey makes the key that signs service account tokens.
func NewSigningKey() ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return keyPEM(key)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return block("EC PRIVATE KEY", der), nil
}

func certificate(id Identity) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		serial = big.NewInt(time.Now().UnixNano())
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.User, Organization: id.Groups},
		// An hour back: a clock that is set while the lab starts does no harm.
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    id.Hosts,
		IPAddresses: id.IPs,
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Write puts the pair beside each other as NAME.crt and NAME.key.
func (p Pair) Write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), p.Cert, 0o644); err != nil {
		return fmt.Errorf("write the certificate %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".key"), p.Key, 0o600); err != nil {
		return fmt.Errorf("write the key %s: %w", name, err)
	}
	return nil
}

// Kubeconfig returns a kubeconfig that holds the pair itself, so that the file
// can be copied anywhere.
func Kubeconfig(server, context, namespace string, ca []byte, pair Pair) ([]byte, error) {
	type object = map[string]any
	config := object{
		"apiVersion": "v1", "kind": "Config", "current-context": context,
		"clusters": []object{{"name": context, "cluster": object{"server": server, "certificate-authority-data": ca}}},
		"users":    []object{{"name": context, "user": object{"client-certificate-data": pair.Cert, "client-key-data": pair.Key}}},
		"contexts": []object{{"name": context, "context": object{"cluster": context, "user": context, "namespace": namespace}}},
	}
	out, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", context, err)
	}
	return out, nil
}
