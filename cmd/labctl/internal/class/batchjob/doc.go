// Package batchjob has the commands that grade a class on a Kubernetes cluster, and what `labctl batch` needs of object
// storage.
package batchjob
