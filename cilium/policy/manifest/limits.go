package manifest

// Limits bound what is read and parsed. A field that is zero takes its value from DefaultLimits, so the
// zero value is the default.
type Limits struct {
	Files     int   // files of a directory
	Documents int   // objects of all files together, the items of Lists counted each
	Depth     int   // directories below the one named, and levels of nesting in a document
	Nodes     int   // values of all documents together, each use of an alias counted in full
	FileBytes int64 // bytes of one file
	// TotalBytes bounds all files of one call together.
	TotalBytes int64
}

// DefaultLimits are far above what a class or a cluster's export needs, and far below what hurts.
func DefaultLimits() Limits {
	return Limits{
		Files:      2000,
		Documents:  20000,
		Depth:      64,
		Nodes:      2_000_000,
		FileBytes:  16 << 20,
		TotalBytes: 64 << 20,
	}
}

// orDefault fills in the fields that are zero.
func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Files <= 0 {
		l.Files = d.Files
	}
	if l.Documents <= 0 {
		l.Documents = d.Documents
	}
	if l.Depth <= 0 {
		l.Depth = d.Depth
	}
	if l.Nodes <= 0 {
		l.Nodes = d.Nodes
	}
	if l.FileBytes <= 0 {
		l.FileBytes = d.FileBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = d.TotalBytes
	}
	return l
}
