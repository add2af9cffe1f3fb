package probes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes/probetest"
)

// greetings of servers that are none; the last three make the driver index out
// of its packet.
var babble = map[string][]byte{
	"another protocol version": framed(0, []byte("\x09mystery")),
	"out of sequence":          framed(7, []byte("\x0aoh")),
	"no end of the version":    framed(0, []byte("\x0a11.4.2")),
	"ends in the salt":         framed(0, []byte("\x0a11\x00\x01\x00\x00\x00salt")),
	"ends in the flags":        framed(0, []byte("\x0a11\x00\x01\x00\x00\x00saltsalt\x00\x00")),
}

func TestMySQLProbesConform(t *testing.T) {
	w := newWorld(t, 1, 4096)
	for name, k := range map[string]drills.ProbeKind{
		"write":  w.kind,
		"read":   build(t, "mysql-read", `{}`),
		"select": build(t, "mysql-read", `{"query":"SELECT COUNT(*) FROM information_schema.tables"}`),
	} {
		t.Run(name, func(t *testing.T) {
			probetest.Conform(t, probetest.Suite{
				Kind: k, Correct: w.c.Members[0].Address(), Babble: babble["another protocol version"],
				Subject: func(t *testing.T, address string) drills.Subject {
					s := w.subject(address, "", probetest.Lanes)
					if name == "select" {
						s.Ledger = nil
					}
					return s
				},
				Refused: one(timeline.Refused), Hanging: one(timeline.Timeout), Cut: one(timeline.Reset), Garbage: one(timeline.WrongAnswer),
			})
		})
	}
}

// Garbage ends neither the drill nor a deadline, although the driver panics.
func TestMySQLProbesSurviveGarbage(t *testing.T) {
	w := newWorld(t, 1, 4096)
	for name, b := range babble {
		address := probetest.Serve(t, probetest.Say(b))
		for _, k := range []drills.ProbeKind{w.kind, build(t, "mysql-read", `{}`)} {
			for _, client := range clients(k) {
				o := look(t, open(t, k, w.subject(address, client, 1)))
				assert.Equal(t, timeline.WrongAnswer, o.Class, "%s, %s: %s", name, client, o.Detail)
			}
		}
	}
}
