// Package heldto holds the stand-in to the real PgCat.
//
// Scripts drive a pooler as a client, an administrator and a broken network would, and write down
// what they see: text, SQLSTATE, connection kept or closed, and the time it took. What the real
// v1.2.0 and head showed is in testdata; the stand-in is compared with it on every machine. With
// the build tag "differential", and pgcat or pgcat-head on PATH, the real ones are run again:
// against the recordings, and with -update into them.
package heldto
