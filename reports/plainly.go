package reports

import (
	"reflect"
	"slices"
	"strings"

	"firedrill/drills/verdict"
	"firedrill/reports/tty"
)

// plainly returns a copy of r that is fit to be shown. No text in it has control
// characters: what a server said must not break a line, steer a terminal, or turn
// text around. And no objective in it is met in a drill from which nothing can be
// concluded.
func plainly(r verdict.Result) verdict.Result {
	r = plainValue(reflect.ValueOf(r)).Interface().(verdict.Result)
	notMet := func(o verdict.ObjectiveResult) bool { return o.Verdict != verdict.Met }
	if r.Verdict != verdict.Inconclusive || slices.ContainsFunc(r.Objectives, notMet) {
		return r
	}
	for i := range r.Objectives {
		r.Objectives[i].Verdict = verdict.Inconclusive
		r.Objectives[i].Why = "not proven: " + strings.Join(r.Reasons, "; ")
	}
	return r
}

// plainValue copies what can hold text; the rest is shared, nothing writes to it.
func plainValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		out := reflect.New(v.Type()).Elem()
		out.SetString(tty.Plain(v.String()))
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(plainValue(v.Index(i)))
		}
		return out
	case reflect.Map:
		return plainMap(v)
	case reflect.Struct:
		return plainStruct(v)
	}
	return v
}

func plainMap(v reflect.Value) reflect.Value {
	if v.IsNil() {
		return v
	}
	out := reflect.MakeMapWithSize(v.Type(), v.Len())
	for it := v.MapRange(); it.Next(); {
		out.SetMapIndex(plainValue(it.Key()), plainValue(it.Value()))
	}
	return out
}

// plainStruct leaves alone what has fields that are not ours: time.Time.
func plainStruct(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			return v
		}
		out.Field(i).Set(plainValue(v.Field(i)))
	}
	return out
}
