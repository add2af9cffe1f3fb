package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/reports"
)

// judge computes a run's result from its record.
func judge(dir string) (verdict.Result, error) {
	rec, err := timeline.Read(dir)
	if err != nil {
		return verdict.Result{}, err
	}
	return verdict.Judge(rec)
}

// render judges a run and writes every report into its directory.
func render(dir string) error {
	res, err := judge(dir)
	if err != nil {
		return err
	}
	return renderResult(dir, res)
}

func renderResult(dir string, res verdict.Result) error {
	for _, f := range reports.All() {
		var b bytes.Buffer
		if err := f.Render(&b, res); err != nil {
			return fmt.Errorf("render %s: %w", f.File, err)
		}
		if err := renameio.WriteFile(filepath.Join(dir, f.File), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", f.File, err)
		}
	}
	return nil
}
