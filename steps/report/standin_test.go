package report

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/verdict"
)

// TestStandInComesFirst: nobody shall take a figure of a stand-in for one of PgCat.
func TestStandInComesFirst(t *testing.T) {
	var r verdict.Result
	writers := map[string]func(io.Writer) error{
		"one run":  func(w io.Writer) error { return Text(w, r) },
		"table":    func(w io.Writer) error { return Table(w, []verdict.Result{r}) },
		"markdown": func(w io.Writer) error { return Markdown(w, []verdict.Result{r}) },
	}
	for name, write := range writers {
		for _, isOne := range []bool{true, false} {
			r.Facts.StandIn = isOne
			var out bytes.Buffer
			require.NoError(t, write(&out), name)
			first, _, _ := strings.Cut(out.String(), "\n")
			require.Equal(t, isOne, strings.Contains(first, standIn), "%s: %s", name, first)
		}
	}
}
