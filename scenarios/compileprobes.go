package scenarios

import (
	"slices"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// maxConcurrency bounds the observations of one series that are under way at once.
const maxConcurrency = 4096

// chooser is implemented by probe kinds that say which classes of clients they
// have; others have both.
type chooser interface{ Clients() []drills.Client }

// probes makes a series of every probe and class of client. The ledgers come
// first, because a reading probe may stand before the one that writes.
func (c *compiler) probes() {
	built := make([]drills.ProbeKind, len(c.file.Spec.Probes))
	for i, p := range c.file.Spec.Probes {
		built[i], _ = build(c, c.kinds.Probes, p.Kind, p.With, "probes", i)
		if _, writes := built[i].(drills.LedgerKind); writes {
			c.ledgers[p.Name] = true
		}
	}
	for i, p := range c.file.Spec.Probes {
		if built[i] != nil {
			c.probe(i, p, built[i])
		}
	}
}

func (c *compiler) probe(i int, p Probe, k drills.ProbeKind) {
	series := timeline.Series{
		Probe: p.Name, Kind: p.Kind, Every: p.Every.Std(), Timeout: p.Timeout.Std(),
		Concurrency: concurrency(p.Every.Std(), p.Timeout.Std()), Mode: p.Mode,
		Judged: !p.Inform, Ledger: p.Ledger,
	}
	if asks, ok := k.(drills.RequestKind); ok {
		series.Op = asks.Op()
	}
	step := drills.SeriesStep{Kind: k, With: p.With}
	if !c.subject(i, p, &series, &step) {
		return
	}
	if p.From != nil && !c.from(i, p, k, &series, &step) {
		return
	}
	if c.ledgers[p.Name] {
		series.Ledger, series.Writes = p.Name, true
	}
	if p.Ledger != "" && !c.ledgers[p.Ledger] {
		c.problem(c.at("probes", i, "ledger"), "probe %q writes no ledger: name one that does", p.Ledger)
	}
	for _, client := range c.clients(i, p, k) {
		series.Client = string(client)
		c.drill.Plan.Series = append(c.drill.Plan.Series, series)
		c.drill.Series = append(c.drill.Series, step)
	}
}

// recovers tells whether a series decides recovery: one that looks while a fault is in
// force does, if it is not there to inform only.
func recovers(s timeline.Series) bool {
	return s.Judged && (s.Mode == "Continuous" || s.Mode == "OnChaos")
}

// concurrency is enough for every sample to wait for its timeout.
func concurrency(every, timeout time.Duration) int {
	if every <= 0 {
		return maxConcurrency
	}
	return int(min((timeout+every-1)/every+2, maxConcurrency))
}

// clients returns the classes to measure: those that the scenario asks for, or
// all that the kind has.
func (c *compiler) clients(i int, p Probe, k drills.ProbeKind) []drills.Client {
	has := []drills.Client{drills.Fresh, drills.Pooled}
	if ch, ok := k.(chooser); ok {
		has = ch.Clients()
	}
	if len(p.Clients) == 0 {
		return has
	}
	var asked []drills.Client
	for j, name := range p.Clients {
		client := drills.Client(name)
		switch {
		case !slices.Contains(has, client):
			c.problem(c.at("probes", i, "clients", j), "probe kind %s has no %s clients: it has %s", p.Kind, name, joined(has))
		case slices.Contains(asked, client):
			c.problem(c.at("probes", i, "clients", j), "%s is there twice", name)
		}
		asked = append(asked, client)
	}
	return asked
}

func joined(cs []drills.Client) string {
	words := make([]string, len(cs))
	for i, c := range cs {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}
