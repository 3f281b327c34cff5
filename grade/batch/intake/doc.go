// Package intake finds the submissions of a class and opens them: folders, archives, lists, object storage
// and the exports of course platforms. It knows whose each submission is; it grades nothing.
package intake
