// Package cluster has the commands that build, show and remove running labs.
package cluster
