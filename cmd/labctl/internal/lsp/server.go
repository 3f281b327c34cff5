package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"sync"

	"github.com/creachadair/jrpc2"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// Codes of errors that the protocol adds to those of JSON-RPC.
const (
	codeNotInitialized = -32002
	codeCancelled      = -32800
	codeFailed         = -32803
)

// maxDocument is how many bytes of a document the server keeps.
const maxDocument = maxMessage

// server is a session with an editor.
type server struct {
	app      *cli.App
	labFlags cli.LabFlags
	engine   cli.EngineFlags
	lab      string // of answers whose folder does not say it
	snippets bool   // the editor takes snippets
	rpc      *jrpc2.Server

	mu          sync.Mutex
	initialized bool
	shutDown    bool
	docs        map[string]*document // that are open, by path
	folders     map[string]*folder   // that are analysed, by key
	belongs     map[string][]*folder // of manifests, by path, as of when a file was last opened, saved or closed
	parsed      parsedFiles
}

func newServer(app *cli.App, labFlags cli.LabFlags, engine cli.EngineFlags, lab string) *server {
	return &server{
		app: app, labFlags: labFlags, engine: engine, lab: lab,
		docs: map[string]*document{}, folders: map[string]*folder{}, belongs: map[string][]*folder{},
		parsed: parsedFiles{},
	}
}

// errNoShutdown ends a session that the editor did not end in order; the protocol wants exit code 1.
var errNoShutdown = cli.Reported{Err: cli.ErrBelowMark}

// run serves an editor until it ends the session.
func (s *server) run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.rpc = jrpc2.NewServer(s, &jrpc2.ServerOptions{
		AllowPush: true, DisableBuiltin: true, Concurrency: 8,
		NewContext: func() context.Context { return ctx },
	})
	ended := make(chan struct{})
	messages := &stream{in: bufio.NewReader(in), out: out, close: sync.OnceValue(func() error {
		close(ended)
		return nil
	})}
	s.rpc.Start(messages)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shutDown:
		return nil
	case messages.broken != nil:
		return fmt.Errorf("read from the editor: %w", messages.broken)
	}
	return errNoShutdown
}

// Assign implements jrpc2.Assigner.
func (s *server) Assign(_ context.Context, method string) jrpc2.Handler {
	switch method {
	case "exit":
		return s.exit
	case "$/cancelRequest":
		return s.cancel
	case "initialize":
		return guard(s.initialize)
	}
	handler := s.handler(method)
	if handler == nil {
		return nil
	}
	return guard(func(ctx context.Context, req *jrpc2.Request) (any, error) {
		s.mu.Lock()
		initialized, shutDown := s.initialized, s.shutDown
		s.mu.Unlock()
		switch {
		case !initialized:
			return nil, jrpc2.Errorf(codeNotInitialized, "the first request must be initialize")
		case shutDown:
			return nil, jrpc2.Errorf(jrpc2.InvalidRequest, "the server has been shut down")
		}
		return handler(ctx, req)
	})
}

func (s *server) handler(method string) jrpc2.Handler {
	switch method {
	case "shutdown":
		return s.shutdown
	case "initialized", "workspace/didChangeConfiguration", "$/setTrace":
		return func(context.Context, *jrpc2.Request) (any, error) { return nil, nil }
	case "textDocument/didOpen":
		return handle(s.didOpen)
	case "textDocument/didChange":
		return handle(s.didChange)
	case "textDocument/didSave":
		return handle(s.didSave)
	case "textDocument/didClose":
		return handle(s.didClose)
	case "textDocument/completion":
		return handle(s.completion)
	case "textDocument/hover":
		return handle(s.hover)
	case "textDocument/definition":
		return handle(s.definition)
	case "textDocument/references":
		return handle(s.references)
	case "textDocument/prepareRename":
		return handle(s.prepareRename)
	case "textDocument/rename":
		return handle(s.rename)
	case "textDocument/formatting":
		return handle(s.formatting)
	case "textDocument/codeLens":
		return handle(s.codeLens)
	}
	return nil
}

// handle decodes the parameters of a method.
func handle[P any](f func(context.Context, *P) (any, error)) jrpc2.Handler {
	return func(ctx context.Context, req *jrpc2.Request) (any, error) {
		var params P
		if err := req.UnmarshalParams(&params); err != nil {
			return nil, err
		}
		return f(ctx, &params)
	}
}

// guard turns a panic into an error: one file that labctl cannot read must not end the session.
func guard(h jrpc2.Handler) jrpc2.Handler {
	return func(ctx context.Context, req *jrpc2.Request) (result any, err error) {
		defer func() {
			if r := recover(); r != nil {
				result, err = nil, jrpc2.Errorf(jrpc2.InternalError, "%s: internal error: %v\n%s", req.Method(), r, debug.Stack())
			}
		}()
		result, err = h(ctx, req)
		if err != nil && ctx.Err() != nil {
			return nil, jrpc2.Errorf(codeCancelled, "cancelled")
		}
		return result, err
	}
}

func (s *server) initialize(_ context.Context, req *jrpc2.Request) (any, error) {
	var params initializeParams
	if err := req.UnmarshalParams(&params); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.initialized {
		return nil, jrpc2.Errorf(jrpc2.InvalidRequest, "the server is initialized already")
	}
	flags := s.labFlags
	flags.Vars = append(flags.Vars[:len(flags.Vars):len(flags.Vars)], params.Options.Vars...)
	flags.VarFiles = append(flags.VarFiles[:len(flags.VarFiles):len(flags.VarFiles)], params.Options.VarFiles...)
	if _, err := flags.Options(); err != nil {
		return nil, jrpc2.Errorf(jrpc2.InvalidParams, "%v", err)
	}
	s.labFlags = flags
	if params.Options.Lab != "" {
		s.lab = params.Options.Lab
	}
	s.snippets = params.Capabilities.TextDocument.Completion.CompletionItem.SnippetSupport
	s.initialized = true
	type options map[string]any
	return options{
		"capabilities": options{
			"positionEncoding":           "utf-16",
			"textDocumentSync":           options{"openClose": true, "change": 2, "save": true},
			"completionProvider":         options{"triggerCharacters": []string{".", "\""}},
			"hoverProvider":              true,
			"definitionProvider":         true,
			"referencesProvider":         true,
			"renameProvider":             options{"prepareProvider": true},
			"documentFormattingProvider": true,
			"codeLensProvider":           options{},
		},
		"serverInfo": options{"name": "labctl", "version": cli.Release},
	}, nil
}

func (s *server) shutdown(context.Context, *jrpc2.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutDown = true
	for _, f := range s.folders {
		f.stop()
	}
	return nil, nil
}

func (s *server) exit(context.Context, *jrpc2.Request) (any, error) {
	s.rpc.Stop()
	return nil, nil
}

func (s *server) cancel(_ context.Context, req *jrpc2.Request) (any, error) {
	var params struct {
		ID json.RawMessage `json:"id"`
	}
	if err := req.UnmarshalParams(&params); err != nil {
		return nil, err
	}
	s.rpc.CancelRequest(string(params.ID))
	return nil, nil
}

// document returns an open document.
func (s *server) document(uri string) (*document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.docs[pathOf(uri)]; d != nil {
		return d, nil
	}
	return nil, jrpc2.Errorf(jrpc2.InvalidParams, "%s is not open", uri)
}

// open returns the open documents.
func (s *server) open() map[string]*document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}

func (s *server) didOpen(_ context.Context, p *openParams) (any, error) {
	path := pathOf(p.TextDocument.URI)
	if path == "" || len(p.TextDocument.Text) > maxDocument {
		return nil, nil // nothing on this machine, or nothing that a person wrote
	}
	s.mu.Lock()
	s.docs[path] = &document{newText(p.TextDocument.Text), p.TextDocument.URI, path, p.TextDocument.Version}
	s.mu.Unlock()
	s.moved()
	s.analyse(path, 0)
	return nil, nil
}

func (s *server) didChange(_ context.Context, p *changeParams) (any, error) {
	doc, err := s.document(p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	now := *doc
	now.version = p.TextDocument.Version
	for _, c := range p.ContentChanges {
		if now.text = now.edit(c); len(now.s) > maxDocument {
			return s.forget(doc)
		}
	}
	s.mu.Lock()
	s.docs[doc.path] = &now
	s.mu.Unlock()
	s.analyse(doc.path, debounce)
	return nil, nil
}

func (s *server) didSave(_ context.Context, p *documentParams) (any, error) {
	if path := pathOf(p.TextDocument.URI); path != "" {
		s.moved()
		s.analyse(path, 0)
	}
	return nil, nil
}

func (s *server) didClose(_ context.Context, p *documentParams) (any, error) {
	doc, err := s.document(p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	return s.forget(doc)
}

// forget closes a document: the file on the disk counts again.
func (s *server) forget(doc *document) (any, error) {
	s.mu.Lock()
	delete(s.docs, doc.path)
	s.mu.Unlock()
	s.moved()
	s.analyse(doc.path, 0)
	return nil, nil
}

// publish sends the diagnostics of a file to the editor: of the document that was analysed, which may have changed since;
// nil if it was not open.
func (s *server) publish(ctx context.Context, path string, doc *document, diags []diagnostic) {
	params := publishParams{URI: uriOf(path), Diagnostics: diags}
	if doc != nil {
		params.URI, params.Version = doc.uri, doc.version
	}
	if params.Diagnostics == nil {
		params.Diagnostics = []diagnostic{}
	}
	if err := s.rpc.Notify(ctx, "textDocument/publishDiagnostics", params); err != nil && ctx.Err() == nil {
		s.app.Log().Debug("diagnostics not sent", "error", err)
	}
}

// failed is the error about a request that cannot be met.
func failed(format string, args ...any) error {
	return jrpc2.Errorf(codeFailed, "%s", fmt.Sprintf(format, args...))
}

var errCancelled = errors.New("cancelled")
