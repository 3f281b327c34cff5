// Package class has the commands that grade classes, make autograders and judge connections for course platforms.
package class
