package cli

// NoteFile is the file in a folder of answers in which `labctl checkout` notes the lab, for editors. Grading ignores it.
const NoteFile = ".labctl"

// CheckoutNote is the content of NoteFile, as JSON.
type CheckoutNote struct {
	// Lab is the name of a lab that ships, or a path relative to the folder, which begins with a dot.
	Lab string `json:"lab"`
}
