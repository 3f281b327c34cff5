// Package student has the commands that students use to read labs, to grade their answers and to look at connections.
package student
