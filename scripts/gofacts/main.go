// gofacts prints, for every API type that the Kubernetes schemes know, its fields in the order of the
// Go struct: JSON name, Go type (as encoding/json words it in errors), protobuf number and wire form, flags.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// A field is [json name, type, Go type, protobuf number, wire form, flags].
// Flags: o omitted from JSON when empty, p pointer, r repeated on the wire, z omitzero, i inlined message with a field number.
type field [6]any

type entry struct {
	Go     string  `json:"go"`               // the Go type's short name, as in errors: v1.Pod
	Alias  string  `json:"alias,omitempty"`  // a named non-struct type: what it is
	Fields []field `json:"fields,omitempty"` // of a struct, in its order
	Introduced string `json:"introduced,omitempty"` // of a kind: the release that served it first, as 1.37
}

var out = map[string]*entry{}

func name(t reflect.Type) string {
	seg := strings.Split(t.PkgPath(), "/")
	host := strings.Split(seg[0], ".")
	for i, j := 0, len(host)-1; i < j; i, j = i+1, j-1 {
		host[i], host[j] = host[j], host[i]
	}
	return strings.Join(append(append([]string{}, host...), append(seg[1:], t.Name())...), ".")
}

func typ(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typ(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		if t.Name() != "" {
			out[name(t)] = &entry{Go: t.String(), Alias: "[]" + typ(t.Elem())}
		}
		return "[]" + typ(t.Elem())
	case reflect.Map:
		return "map[" + t.Key().Kind().String() + "]" + typ(t.Elem())
	case reflect.Struct:
		walk(t)
		return name(t)
	}
	return t.Kind().String()
}

func walk(t reflect.Type) {
	n := name(t)
	if _, ok := out[n]; ok {
		return
	}
	e := &entry{Go: t.String(), Introduced: introduced(t)}
	out[n] = e
	e.Fields = fields(t)
}

func introduced(t reflect.Type) string {
	known, ok := reflect.New(t).Interface().(interface{ APILifecycleIntroduced() (major, minor int) })
	if !ok { return "" }
	major, minor := known.APILifecycleIntroduced()
	return fmt.Sprintf("%d.%d", major, minor)
}

func fields(t reflect.Type) (all []field) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		js := strings.Split(f.Tag.Get("json"), ",")
		pb := strings.Split(f.Tag.Get("protobuf"), ",")
		inline := f.Anonymous && (js[0] == "")
		flags := ""
		for _, o := range js[1:] {
			if o == "omitempty" { flags += "o" }
			if o == "omitzero" { flags += "z" }
		}
		if f.Type.Kind() == reflect.Pointer { flags += "p" }
		if len(pb) > 2 && pb[2] == "rep" { flags += "r" }
		num, wire := 0, ""
		if len(pb) > 1 { num, _ = strconv.Atoi(pb[1]); wire = pb[0] }
		if inline && f.Type.Kind() == reflect.Struct {
			if f.Type.Name() == "TypeMeta" { all = append(all, field{"kind", "string", "string", 0, "", "o"}, field{"apiVersion", "string", "string", 0, "", "o"}); continue }
			if num == 0 { all = append(all, fields(f.Type)...); continue }
			flags += "i"
			all = append(all, field{f.Name, typ(f.Type), f.Type.String(), num, wire, flags})
			continue
		}
		if js[0] == "-" || !f.IsExported() { 
			if num > 0 { all = append(all, field{"-", typ(f.Type), f.Type.String(), num, wire, flags}) }
			continue
		}
		n := js[0]
		if n == "" { n = f.Name }
		all = append(all, field{n, typ(f.Type), f.Type.String(), num, wire, flags})
	}
	return
}

func main() {
	s := runtime.NewScheme()
	scheme.AddToScheme(s); apiext.AddToScheme(s); aggregator.AddToScheme(s)
	for _, t := range s.AllKnownTypes() {
		if t.Kind() == reflect.Struct { walk(t) }
	}
	json.NewEncoder(os.Stdout).Encode(out)
}
