package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// place is where CBR and the topic are, and how fast CBR is there.
type place struct {
	latency time.Duration // of a call of CBR
	// authority is nil for plain HTTP on this machine. Otherwise it is TLS at a
	// distance of a roundTrip.
	authority *authority
}

// roundTrip stands for about a thousand kilometres: from one cloud to another on the
// same continent.
const roundTrip = 20 * time.Millisecond

// authority is a certificate authority that lives as long as the bench does.
type authority struct {
	server *tls.Config
	// env makes a contestant accept its certificates, besides those of the system's
	// authorities: reading those is part of a first connection.
	env []string
}

func newAuthority(dir string) (*authority, error) {
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "bench"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, leafKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o644); err != nil {
		return nil, err
	}
	return &authority{
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf}, PrivateKey: leafKey}}},
		env:    []string{"SSL_CERT_FILE=" + path, "NODE_EXTRA_CA_CERTS=" + path},
	}, nil
}

// far listens for a server that is at a distance. What a client sends arrives a
// round trip later, and what the server sends arrives at once. So each exchange
// costs one round trip, however many packets it has. TCP's handshake costs one more,
// before the first.
func far(server string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go relay(client, server, time.Now().Add(2*roundTrip))
		}
	}()
	return l, nil
}

// relay carries data between client and server. None of the client's arrives before
// earliest. It ends when either side closes.
func relay(client net.Conn, server string, earliest time.Time) {
	defer client.Close()
	there, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	type flight struct {
		bytes []byte
		due   time.Time
	}
	flights := make(chan flight, 1000)
	defer close(flights)
	go func() {
		defer there.Close()
		for f := range flights {
			time.Sleep(time.Until(f.due))
			_, _ = there.Write(f.bytes) // fails if the server has closed; the client's connection is then closed below
		}
	}()
	go func() {
		_, _ = io.Copy(client, there) // ends with either side
		client.Close()
	}()
	for {
		b := make([]byte, 16<<10)
		n, err := client.Read(b)
		if err != nil {
			return
		}
		due := time.Now().Add(roundTrip)
		if due.Before(earliest) {
			due = earliest
		}
		flights <- flight{b[:n], due}
	}
}
