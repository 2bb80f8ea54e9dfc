package verdict

// Explains is the table of causes, for the test that holds it to the rules.
func Explains() map[string][]string { return explains }
