package format

import (
	"fmt"
	"strings"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

// Docs is the page that lists the rules.
func Docs() string {
	var b strings.Builder
	b.WriteString("# What `failover lint-config` looks for\n\n" +
		"Generated from the table in `steps/pooler/pgcat/lint`; a test holds this page to it. Each rule names PgCat's source at\n" +
		"v1.2.0 where it says no other. An **error** means that PgCat does not start, or that what the file promises of failover is\n" +
		"not there; a **warning** costs clients something in a failover; **info** is worth knowing. `--allow RULE` leaves one out.\n")
	for _, s := range []struct {
		of    lint.Severity
		title string
	}{{lint.Error, "Errors"}, {lint.Warning, "Warnings"}, {lint.Info, "Info"}} {
		fmt.Fprintf(&b, "\n## %s\n", s.title)
		for _, r := range lint.Rules() {
			if r.Severity == s.of {
				writeRule(&b, r)
			}
		}
	}
	return b.String()
}

func writeRule(b *strings.Builder, r lint.Rule) {
	fmt.Fprintf(b, "\n### %s\n%s", r.ID, sentence(r.What))
	if r.Exit != 0 {
		fmt.Fprintf(b, " PgCat exits with code **%d**.", r.Exit)
	}
	fmt.Fprintf(b, "\n- Why: %s\n- In a failover: %s\n- Mend: %s\n", r.Why, r.Failover, r.Mend)
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
