package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
)

var htmlDir = flag.String("html", "", "write the fixtures' pages to this directory, to look at them")

func rendered(t *testing.T, f reportstest.Fixture) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, HTML(&b, f.Result))
	if *htmlDir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(*htmlDir, f.Name+".html"), b.Bytes(), 0o644))
	}
	return b.String()
}

var (
	scripts  = regexp.MustCompile(`(?s)<script>.*?</script>`)
	sections = regexp.MustCompile(`<section id="(\w+)">`)
	drawings = regexp.MustCompile(`(?s)<svg[^>]*role="img"[^>]*>(.{0,40})`)
)

func TestHTML(t *testing.T) {
	for _, f := range reportstest.All() {
		t.Run(f.Name, func(t *testing.T) {
			p := rendered(t, f)
			assert.Less(t, len(p), 1_000_000)
			has(t, p, html.EscapeString(f.Result.Sentence))
			// The verdict is a word, not just a colour.
			has(t, p, ">"+verdictWord(f.Result.Verdict).Text+"</span>")
			lacks(t, p, "https://")
			lacks(t, strings.ReplaceAll(p, "http://www.w3.org/2000/svg", ""), "http://")
			lacks(t, p, "ZgotmplZ")
			for _, tag := range []string{"<link", "<img", "<iframe", "@import", "src=", "url(http", "fetch(", "XMLHttp"} {
				lacks(t, p, tag)
			}
			var order []string
			for _, m := range sections.FindAllStringSubmatch(p, -1) {
				order = append(order, m[1])
			}
			account := "ledger"
			if len(f.Result.Requests) > 0 {
				account = "requests"
			}
			want := []string{"objectives", "timeline", "phases", account, "done", "validity", "evidence"}
			if len(f.Result.Losses) > 0 {
				want = slices.Insert(want, 3, "losses")
			}
			assert.Equal(t, want, order)
			for _, m := range drawings.FindAllStringSubmatch(p, -1) {
				assert.True(t, strings.HasPrefix(m[1], "<title>"), "a drawing without a title: %s", m[0])
			}
			wellFormed(t, p)
		})
	}
}

// wellFormed reads the page as XML: every element is closed, every attribute
// quoted. The script is left out, its "<" and "&" are not markup.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(scripts.ReplaceAllString(page, "")))
	d.Entity = xml.HTMLEntity
	ids := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range e.Attr {
			if a.Name.Local == "id" {
				assert.False(t, ids[a.Value], "id %s is there twice", a.Value)
				ids[a.Value] = true
			}
			assert.False(t, e.Name.Local == "th" && a.Name.Local == "scope" && a.Value == "")
		}
	}
}

func TestHTMLTableHeaders(t *testing.T) {
	for _, th := range regexp.MustCompile(`<th[ >][^>]*`).FindAllString(rendered(t, reportstest.All()[1]), -1) {
		assert.Contains(t, th, `scope="`)
	}
}

func TestHTMLLists(t *testing.T) {
	missed, big := reportstest.All()[1], reportstest.All()[6]
	p := rendered(t, missed)
	has(t, p, "1:11652-12052")
	has(t, p, `href="data:text/plain;charset=utf-8,`)
	p = rendered(t, big)
	has(t, p, "100,000 ranges, the first 200 shown")
	has(t, p, "Not listed here: 99,800 ranges.")
	has(t, p, `href="data:application/gzip;base64,`)
	has(t, p, "thinned for drawing")
}

// A service that flaps in every lane for ten minutes still makes a small page.
func TestHTMLOfAStorm(t *testing.T) {
	r := reportstest.Big()
	for i := range r.Picture.Lanes {
		l := &r.Picture.Lanes[i]
		l.Bands = nil
		for x := r.Picture.From; x < r.Picture.To; x += 0.4 {
			l.Bands = append(l.Bands, verdict.Band{State: "bad", Class: "refused", From: x, To: x + 0.1, FromWidth: 0.05, ToWidth: 0.05},
				verdict.Band{State: "good", From: x + 0.15, To: x + 0.35})
		}
		o := r.Probes[i].Outages[0]
		for range 1500 {
			r.Probes[i].Outages = append(r.Probes[i].Outages, o)
		}
	}
	p := rendered(t, reportstest.Fixture{Name: "storm", Result: r})
	assert.Less(t, len(p), 1_000_000)
	has(t, p, "more in result.json")
}

func has(t *testing.T, page, part string) {
	t.Helper()
	// The page would drown the message.
	assert.True(t, strings.Contains(page, part), "%q is not there", part) //nolint:testifylint // see above
}

func TestStyleClosesItsBlocks(t *testing.T) {
	s := style()
	assert.Equal(t, strings.Count(s, "{"), strings.Count(s, "}"))
	assert.NotContains(t, s, "<")
}
