package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// databaseMake says which database servers a lab has.
type databaseMake struct {
	engine   engine
	semiSync bool
	// rpo is the component's recovery point objective.
	rpo string
}

const (
	// members is how many database servers a lab has.
	members = 3
	// databasePort is where the servers and the proxy listen.
	databasePort = 3306
)

// databases are a primary and its replicas behind a proxy.
type databases struct {
	*lab
	databaseMake
	accounts Accounts
	servers  []*Server
	proxy    *HAProxy
}

func (databaseMake) port() int { return databasePort }

func (m databaseMake) open(l *lab) topologyLab {
	d := &databases{lab: l, databaseMake: m}
	for n := 1; n <= members; n++ {
		member := fmt.Sprintf("db-%d", n)
		d.servers = append(d.servers, &Server{
			Name: member, Dir: filepath.Join(l.places.servers, member), Sockets: l.socketsOf(member),
			Address: l.address(n, databasePort), ID: l.net*100 + n, UID: UserOf(n), Namespace: l.namespace,
			SemiSync: m.semiSync, Cache: l.cache, engine: m.engine,
		})
	}
	d.proxy = NewHAProxy(filepath.Join(l.places.servers, "proxy"), l.Route, d.servers...)
	d.proxy.Sockets, d.proxy.Namespace = l.socketsOf("proxy"), l.namespace
	return d
}

func (l *databases) packages() map[string]string {
	need := map[string]string{"haproxy": "haproxy"}
	if l.engine == (mariadb{}) {
		need["mariadbd"] = "mariadb-server"
	}
	return need
}

func (l *databases) users() map[string]int {
	users := map[string]int{"proxy": l.proxy.UID}
	for _, s := range l.servers {
		users[s.Name] = s.UID
	}
	return users
}

// fetch gets a server that no package of the system has.
func (l *databases) fetch(ctx context.Context) error {
	if _, err := l.engine.program(l.cache); err == nil || l.engine != (mysqld{}) {
		return err
	}
	l.say("downloading a MySQL server, about 70 MB, this once")
	return FetchMySQL(ctx, l.cache)
}

// create returns once a write through the route has reached every member.
func (l *databases) create(ctx context.Context) error {
	if err := l.makeSecrets(); err != nil {
		return err
	}
	l.say("starting %d servers", len(l.servers))
	if err := l.startServers(ctx); err != nil {
		return err
	}
	primary := l.servers[0]
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := Replicate(ctx, primary, l.servers[1:]...); err != nil {
		return err
	}
	if err := l.proxy.Start(ctx, primary.Name); err != nil {
		return err
	}
	if err := l.throughRoute(ctx, firstWrite); err != nil {
		return fmt.Errorf("write through route %s: %w", l.Route, err)
	}
	return following(ctx, primary, l.servers[1:])
}

// startServers starts all servers. The first builds the template that the
// others copy, if there is none yet.
func (l *databases) startServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if _, err := l.engine.template(ctx, l.servers[0]); err != nil {
		return fmt.Errorf("prepare a data directory: %w", err)
	}
	return l.each(ctx, func(ctx context.Context, s *Server) error { return s.Start(ctx) })
}

// each does something with all servers at the same time.
func (l *databases) each(ctx context.Context, do func(context.Context, *Server) error) error {
	errs := make([]error, len(l.servers))
	done := make(chan struct{})
	for i, s := range l.servers {
		go func() {
			errs[i] = do(ctx, s)
			done <- struct{}{}
		}()
	}
	for range l.servers {
		<-done
	}
	return errors.Join(errs...)
}
