package scenarios

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// varName is what a variable may be called.
const varName = `[A-Za-z_][A-Za-z0-9_]*`

var (
	varNamed = regexp.MustCompile(`^` + varName + `$`)
	// varUse finds uses of variables and "$${", which stands for a plain "${".
	varUse   = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}?`)
	varAlone = regexp.MustCompile(`^\$\{(` + varName + `)\}$`)
)

// variable is a declared variable with its value in force.
type variable struct {
	value any
	text  string
}

// substitute puts the values of the variables, those of set before the defaults,
// into every value of the document but the declarations. A value that consists of
// one variable takes the variable's type; "$${" stands for "${".
func (d *document) substitute(set map[string]string) {
	declared := d.root.get("spec", "vars")
	vars := map[string]variable{}
	if declared != nil {
		for i := range declared.fields {
			f := &declared.fields[i]
			if !varNamed.MatchString(f.name) {
				d.keyProblem(f, "not a name for a variable: want letters, digits and _, not starting with a digit")
			}
			d.declare(vars, f, set)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, ok := vars[name]; !ok {
			d.problem(d.root.at("spec", "vars"), "--var %s: there is no such variable; %s", name, declaredVars(name, vars))
		}
	}
	s := substitution{document: d, vars: vars, skip: declared}
	s.into(d.root)
}

// declare takes a variable's default, or the value of the command line read as
// what the default is. The declaration is then text, as File has it.
func (d *document) declare(vars map[string]variable, f *field, set map[string]string) {
	n := f.value
	if _, dup := vars[f.name]; dup || n.shape != scalar || n.value == nil {
		if !dup {
			vars[f.name] = variable{value: "", text: ""}
		}
		return
	}
	v := variable{value: n.value, text: n.text}
	if text, ok := set[f.name]; ok {
		value, want := likeDefault(n.value, text)
		if want != "" {
			d.problem(n, "--var %s=%s: want %s, like the default %s", f.name, text, want, n.text)
		}
		v = variable{value: value, text: text}
	}
	vars[f.name] = v
	n.value, n.text = v.text, v.text
}

// likeDefault reads text as the type of a default; want says what was expected if
// it is not that.
func likeDefault(def any, text string) (value any, want string) {
	switch def := def.(type) {
	case bool:
		if text != "true" && text != "false" {
			return def, "true or false"
		}
		return text == "true", ""
	case int64, uint64:
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, ""
		}
		return def, "a whole number"
	case float64:
		if f, err := strconv.ParseFloat(text, 64); err == nil && f-f == 0 {
			return f, ""
		}
		return def, "a number"
	}
	if isDuration(fmt.Sprint(def)) && !isDuration(text) {
		return def, "a duration"
	}
	return text, ""
}

// isDuration tells whether text is a duration with a unit.
func isDuration(text string) bool {
	_, err := time.ParseDuration(text)
	return err == nil && text != "0"
}

// substitution is the walk that puts values in.
type substitution struct {
	*document
	vars map[string]variable
	skip *node
}

func (s *substitution) into(n *node) {
	if n == s.skip {
		return
	}
	for _, f := range n.fields {
		s.into(f.value)
	}
	for _, item := range n.items {
		s.into(item)
	}
	text, ok := n.value.(string)
	if !ok || !strings.Contains(text, "${") {
		return
	}
	if m := varAlone.FindStringSubmatch(text); m != nil {
		if v, ok := s.vars[m[1]]; ok {
			n.value, n.text, n.from = v.value, v.text, m[1]
			return
		}
	}
	n.value = varUse.ReplaceAllStringFunc(text, func(use string) string { return s.one(n, use) })
}

// one is what a single use stands for.
func (s *substitution) one(n *node, use string) string {
	if use == "$${" {
		return "${"
	}
	name := strings.TrimSuffix(strings.TrimPrefix(use, "${"), "}")
	if !strings.HasSuffix(use, "}") || !varNamed.MatchString(name) {
		s.spoil(n, "${ begins a variable, ${name}; for the plain characters write $${")
		return use
	}
	v, ok := s.vars[name]
	if !ok {
		s.spoil(n, "${%s} is not declared under spec.vars: %s (for the plain characters write $${%s})", name, declaredVars(name, s.vars), name)
		return use
	}
	return v.text
}

func declaredVars(name string, vars map[string]variable) string {
	if len(vars) == 0 {
		return "the scenario declares none"
	}
	return suggest(name, slices.Sorted(maps.Keys(vars)))
}
