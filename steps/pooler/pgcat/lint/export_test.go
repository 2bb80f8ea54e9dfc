package lint

import "slices"

// Known is a row of the table of keys, for the test that holds it to the real PgCat.
type Known struct {
	In, Name string
	Since    Release
	Wrong    any // a value of a type that PgCat does not take there
}

// Keys is the table.
func Keys() []Known {
	var out []Known
	for _, k := range keys {
		wrong := any(int64(1))
		if slices.Contains([]kind{integerKind, boolKind}, k.takes.kind) {
			wrong = "x"
		}
		out = append(out, Known{string(k.in), k.name, k.since, wrong})
	}
	return out
}
