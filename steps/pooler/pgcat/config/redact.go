package config

import "regexp"

// secret matches every key that holds a password, wherever it stands in the file, inline tables included.
var secret = regexp.MustCompile(`(?m)(\b[A-Za-z_]*password\b["']?\s*=\s*)("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,}#]+)`)

// Redact replaces the value of every password. Comments and layout stay.
func Redact(data []byte) []byte { return secret.ReplaceAll(data, []byte(`$1"***"`)) }
