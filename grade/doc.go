// Package grade scores a submission against a lab: it replays the submission's checkpoints, asks an
// engine for the verdict of every connection the objectives name, and says what was missed and why.
//
// It knows probes only through package engine; where the verdicts come from (the rule model in grade/offline,
// real pods in grade/live) makes no difference to a score.
package grade
