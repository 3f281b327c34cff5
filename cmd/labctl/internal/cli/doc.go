// Package cli is what the commands of labctl share: the streams and the terminal, flags, errors, JSON output and
// completion.
package cli
