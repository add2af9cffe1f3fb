package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"firedrill/drills/topology"
	"firedrill/injectors/faultpoint"
)

// throughAddress is where the fault point listens for the i-th vendor.
func (l *models) throughAddress(i int) string { return l.address(11+i, vendorPort) }

// nameServer is where the fault point answers for the vendors' names.
func (l *models) nameServer() string { return l.address(10, nameServerPort) }

// hostName is what a gateway knows a vendor by. The fault point stands there.
func hostName(vendor string) string { return vendor + ".models.lab" }

// What the fault point shows to those who connect with TLS: kept with the secrets,
// for a lab whose processes are started anew.
const (
	caSecret   = "fault-point-ca"
	certSecret = "fault-point-cert"
	keyOfCert  = "fault-point-key"

	certFile  = "cert.pem"
	pointFile = "key.pem"
)

// certify makes the certificate of a fault point that listens with TLS.
func (l *models) certify() error {
	if !l.secure {
		return nil
	}
	var names []string
	for _, v := range l.vendors {
		names = append(names, hostName(v.name))
	}
	c, err := faultpoint.Certify(names...)
	if err != nil {
		return err
	}
	for name, pem := range map[string][]byte{caSecret: c.CA, certSecret: c.Cert, keyOfCert: c.Key} {
		if err := l.writeSecret(name, string(pem)); err != nil {
			return err
		}
	}
	return nil
}

// pointSpec is the fault point as the topology file has it, but for its control.
func (l *models) pointSpec() *topology.FaultPointSpec {
	p := &topology.FaultPointSpec{Socket: l.socket(faultPointName), Listen: map[string]string{}}
	names := map[string]string{}
	for i, v := range l.modelMake.vendors {
		p.Listen[v.name], names[v.name] = l.throughAddress(i), hostName(v.name)
	}
	if l.secure {
		dir := filepath.Join(l.places.servers, faultPointName)
		p.TLS = &topology.FaultPointTLS{
			Cert: filepath.Join(dir, certFile), Key: filepath.Join(dir, pointFile), CA: l.secretFile(caSecret),
		}
		p.DNS = &topology.FaultPointDNS{Listen: l.nameServer(), Names: names}
	}
	return p
}

const faultPointName = "fault-point"

// faultPointProcess is the reverse proxy that drills make faults with.
func (l *models) faultPointProcess() process {
	p := l.place(faultPointName, l.throughAddress(0), 1+len(l.vendors))
	spec := l.pointSpec()
	cfg := faultpoint.Config{Socket: spec.Socket, TLS: spec.TLS, DNS: spec.DNS}
	for _, v := range l.vendors {
		cfg.Points = append(cfg.Points, faultpoint.Point{Member: v.name, Listen: spec.Listen[v.name], Upstream: "http://" + v.address})
	}
	p.argv = append([]string{l.program(), "faultpoint", "serve"}, cfg.Args()...)
	p.ready = "process"
	return p
}

// startFaultPoint starts the fault point unless it runs, and waits until every
// vendor is reached through it.
func (l *models) startFaultPoint(ctx context.Context) error {
	files := map[string]string{}
	if l.secure {
		for file, secret := range map[string]string{certFile: certSecret, pointFile: keyOfCert} {
			text, err := os.ReadFile(l.secretFile(secret))
			if err != nil {
				return fmt.Errorf("certificate of the fault point: %w", err)
			}
			files[file] = string(text)
		}
	}
	if err := l.faultPoint.write(files); err != nil {
		return err
	}
	return l.faultPoint.start(ctx, func() error {
		for _, v := range l.vendors {
			if err := l.lists(ctx, l.pointSpec().URL(v.name)); err != nil {
				return err
			}
		}
		return nil
	})
}
