// Package batch grades the submissions of a class: found in folders or listed in a manifest, untrusted, each
// contained, with a journal that loses nothing and grades nothing twice.
package batch
