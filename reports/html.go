package reports

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"firedrill/drills/verdict"
)

//go:embed assets
var assets embed.FS

// htmlPage is a page with what makes it stand alone.
type htmlPage struct {
	page
	Style      template.CSS
	Script     template.JS
	ScriptHash string
}

// HTML writes report.html: one file that asks the network for nothing, and that
// says everything without its script.
func HTML(w io.Writer, r verdict.Result) error {
	t, err := htmlTemplate()
	if err != nil {
		return err
	}
	style, script := style(), asset("report.js")
	sum := sha256.Sum256([]byte(script))
	p := htmlPage{
		page: newPage(r), Style: template.CSS(style), Script: template.JS(script),
		ScriptHash: "sha256-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
	if err := t.ExecuteTemplate(w, "page", p); err != nil {
		return fmt.Errorf("write HTML report of run %s: %w", r.RunID, err)
	}
	return nil
}

func htmlTemplate() (*template.Template, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"checkIcon": checkIcon,
		"badge":     func(s string) string { return strings.ReplaceAll(s, " ", "-") },
		"markY":     func(level int) int { return 12 + 14*level },
		"textY":     func(height int) int { return height/2 + 4 },
		"lens":      func(height int) int { return height - 2 },
	}).ParseFS(assets, "assets/*.html.tmpl")
	if err != nil {
		return nil, fmt.Errorf("parse HTML templates: %w", err)
	}
	return t, nil
}

// style puts the dark colours where they are needed: for who prefers them, and
// for who asks for them. Paper is always light.
func style() string {
	dark := strings.TrimSpace(asset("dark.css"))
	return asset("report.css") +
		"@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){" + dark + "}}\n" +
		"@media screen{:root[data-theme=dark]{" + dark + "}}\n"
}

// asset returns an embedded file; they are part of the program.
func asset(name string) string {
	b, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// checkIcon is the sign for a check's state: it does not rest on colour.
func checkIcon(state string) string {
	switch state {
	case "ok":
		return verdict.Met
	case "bad":
		return verdict.Missed
	}
	return verdict.Inconclusive
}
