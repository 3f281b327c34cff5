// Package gradescope makes autograders for Gradescope, and is what runs in them: it reads what Gradescope says of a
// submission, grades it as a batch of one, and writes results.json.
package gradescope
