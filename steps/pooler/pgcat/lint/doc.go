// Package lint reads a pgcat.toml and tells what PgCat will not: keys it ignores in silence, values on which it
// exits, and settings that keep it from failing over. Pure: text in, findings out.
//
// Line references are to github.com/postgresml/pgcat at commit 5b03881 (head, 1.3.0) where they say head, else
// at v1.2.0. What a rule claims about an exit is held to the real PgCat by differential_test.go.
package lint
