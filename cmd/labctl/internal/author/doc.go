// Package author has the commands for authors of labs: init, fmt, validate, test.
package author
