package probes

import "strings"

// redactor holds secrets that must not appear in what a probe reports: a server
// may well say them back.
type redactor []string

func (r redactor) clean(s string) string {
	for _, secret := range r {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}
