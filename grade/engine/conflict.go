package engine

// ConflictError says that objects of others in the cluster are in the way of grading, or would falsify the grade. Its
// message ends with what to do about them. The offline engine does not depend on them.
type ConflictError struct{ Err error }

func (e *ConflictError) Error() string { return e.Err.Error() }

// Unwrap returns what is in the way.
func (e *ConflictError) Unwrap() error { return e.Err }
