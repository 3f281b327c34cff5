// Package lsp is `labctl lsp`, a language server for the HCL files of labs and for the manifests of students. What it
// says of a file is what `labctl validate`, `labctl fmt` and `labctl grade` say, of the text in the editor.
//
//   - channel.go, server.go: messages, the life of a session, and which function answers which request
//   - protocol.go: the few structs of the Language Server Protocol that are needed
//   - text.go, files.go: documents, positions, and the files of a folder with unsaved documents over them
//   - lab.go, context.go, complete.go, hover.go, names.go, lens.go: lab files
//   - manifest.go, effect.go: students' manifests
package lsp
