// Package gradetest has what the tests of grading have in common: labs with what grades them without a cluster, submissions
// of classes, and what grading a class has written.
package gradetest
