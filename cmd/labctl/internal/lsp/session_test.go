package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// session is an editor that talks to a server over pipes.
type session struct {
	t      *testing.T
	client *jrpc2.Client
	out    io.Writer // raw
	ended  chan error

	mu    sync.Mutex
	diags map[string][]publishParams // by URI, in the order of their arrival
	news  chan struct{}
}

// begin starts a server; options are the initializationOptions.
func begin(t *testing.T, options any) *session {
	t.Helper()
	s := beginRaw(t)
	s.call("initialize", map[string]any{
		"initializationOptions": options,
		"capabilities":          map[string]any{"textDocument": map[string]any{"completion": map[string]any{"completionItem": map[string]any{"snippetSupport": true}}}},
	}, nil)
	s.notify("initialized", map[string]any{})
	return s
}

func beginRaw(t *testing.T) *session {
	t.Helper()
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	s := &session{t: t, out: toServer, ended: make(chan error, 1), diags: map[string][]publishParams{}, news: make(chan struct{}, 1000)}
	app := &cli.App{Err: io.Discard, Log: func() *slog.Logger { return slog.New(slog.DiscardHandler) }, Now: time.Now}
	go func() {
		err := newServer(app, cli.LabFlags{}, cli.EngineFlags{Semantics: "cilium"}, "").run(context.Background(), fromClient, toClient)
		toClient.Close()
		s.ended <- err
	}()
	s.client = jrpc2.NewClient(channel.LSP(fromServer, toServer), &jrpc2.ClientOptions{OnNotify: s.notified})
	t.Cleanup(func() { s.client.Close() })
	return s
}

func (s *session) notified(req *jrpc2.Request) {
	var p publishParams
	if req.Method() != "textDocument/publishDiagnostics" || req.UnmarshalParams(&p) != nil {
		return
	}
	s.mu.Lock()
	s.diags[p.URI] = append(s.diags[p.URI], p)
	s.mu.Unlock()
	s.news <- struct{}{}
}

func (s *session) call(method string, params, result any) {
	s.t.Helper()
	if err := s.try(method, params, result); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
}

func (s *session) try(method string, params, result any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	rsp, err := s.client.Call(ctx, method, params)
	if err != nil || result == nil {
		return err
	}
	return rsp.UnmarshalResult(result)
}

func (s *session) notify(method string, params any) {
	s.t.Helper()
	if err := s.client.Notify(s.t.Context(), method, params); err != nil {
		s.t.Fatal(err)
	}
}

// diagnostics waits for those of a version of a file; of version 0, for any.
func (s *session) diagnostics(uri string, version int) []diagnostic {
	s.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		all := s.diags[uri]
		s.mu.Unlock()
		if n := len(all); n > 0 && (all[n-1].Version >= version) {
			return all[n-1].Diagnostics
		}
		select {
		case <-s.news:
		case <-timeout:
			s.t.Fatalf("no diagnostics for version %d of %s: %+v", version, uri, all)
		}
	}
}

// file is a file that is open in the editor.
type file struct {
	*session
	uri     string
	text    *text
	version int
}

// open opens a file with a text that may differ from the one on the disk.
func (s *session) open(path, content string) *file {
	s.t.Helper()
	f := &file{s, uriOf(path), newText(content), 1}
	s.notify("textDocument/didOpen", openParams{documentItem{URI: f.uri, LanguageID: "x", Version: 1, Text: content}})
	return f
}

// replace replaces a piece of the text, as typing does.
func (f *file) replace(old, new string) {
	f.t.Helper()
	at := strings.Index(f.text.s, old)
	if at < 0 {
		f.t.Fatalf("%q is not in the text", old)
	}
	c := change{Range: ptr(f.text.span(at, at+len(old))), Text: new}
	f.version++
	f.text = f.text.edit(c)
	f.notify("textDocument/didChange", changeParams{documentID{f.uri, f.version}, []change{c}})
}

func ptr[T any](v T) *T { return &v }

// at is the position of the mark | in a piece of the text that is written without it.
func (f *file) at(marked string) positionParams {
	f.t.Helper()
	before, after, ok := strings.Cut(marked, "|")
	i := strings.Index(f.text.s, before+after)
	if !ok || i < 0 {
		f.t.Fatalf("%q is not in the text", marked)
	}
	return positionParams{documentID{URI: f.uri}, f.text.position(i + len(before))}
}

func (f *file) document() documentParams { return documentParams{documentID{URI: f.uri}} }

// apply applies edits to the text of a file.
func apply(content string, edits []textEdit) string {
	t := newText(content)
	for i := len(edits) - 1; i >= 0; i-- {
		t = t.edit(change{Range: &edits[i].Range, Text: edits[i].NewText})
	}
	return t.s
}

// shop copies the lab "shop" and returns its directory and the text of its lab.hcl.
func shop(t *testing.T) (dir, content string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "shöp 1")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "shop"))); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "lab.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(data)
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	s := beginRaw(t)
	code := func(err error) int {
		var e *jrpc2.Error
		if !errors.As(err, &e) {
			t.Fatalf("not an error of the protocol: %v", err)
		}
		return int(e.Code)
	}
	if got := code(s.try("textDocument/hover", positionParams{}, nil)); got != codeNotInitialized {
		t.Errorf("a request before initialize: code %d", got)
	}
	var caps struct {
		Capabilities map[string]any
		ServerInfo   struct{ Name string }
	}
	s.call("initialize", map[string]any{"processId": nil, "rootUri": nil, "capabilities": map[string]any{}}, &caps)
	if caps.ServerInfo.Name != "labctl" || caps.Capabilities["positionEncoding"] != "utf-16" || caps.Capabilities["hoverProvider"] != true {
		t.Errorf("capabilities: %+v", caps)
	}
	if got := code(s.try("initialize", map[string]any{}, nil)); got != int(jrpc2.InvalidRequest) {
		t.Errorf("initialize twice: code %d", got)
	}
	for method, want := range map[string]int{"labctl/none": int(jrpc2.MethodNotFound), "rpc.serverInfo": int(jrpc2.MethodNotFound)} {
		if got := code(s.try(method, nil, nil)); got != want {
			t.Errorf("%s: code %d, want %d", method, got, want)
		}
	}
	if got := code(s.try("textDocument/hover", map[string]any{"position": "here"}, nil)); got != int(jrpc2.InvalidParams) {
		t.Errorf("wrong parameters: code %d", got)
	}
	if got := code(s.try("textDocument/hover", positionParams{TextDocument: documentID{URI: "file:///none.hcl"}}, nil)); got != int(jrpc2.InvalidParams) {
		t.Errorf("a document that is not open: code %d", got)
	}
	s.notify("$/unknown", nil)                                                 // notifications that are not known are ignored,
	s.notify("textDocument/didChange", map[string]any{"contentChanges": "no"}) // and so are wrong ones
	s.notify("$/cancelRequest", map[string]any{"id": 12345})
	s.call("shutdown", nil, nil)
	if got := code(s.try("textDocument/hover", positionParams{}, nil)); got != int(jrpc2.InvalidRequest) {
		t.Errorf("a request after shutdown: code %d", got)
	}
	s.notify("exit", nil)
	if err := <-s.ended; err != nil {
		t.Errorf("shutdown and exit: %v", err)
	}
}

// TestEnds shows how sessions end that the editor does not end in order.
func TestEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ send, want string }{
		"exit":        {"Content-Length: 33\r\n\r\n" + `{"jsonrpc":"2.0","method":"exit"}`, cli.ErrBelowMark.Error()},
		"no message":  {"", cli.ErrBelowMark.Error()},
		"too long":    {"Content-Length: 99999999999\r\n\r\n", "a message of 99999999999 bytes; labctl accepts up to 16777216"},
		"negative":    {"Content-Length: -1\r\n\r\n", "invalid Content-Length"},
		"no length":   {"Content-Type: x\r\n\r\n{}", "without Content-Length"},
		"no header":   {"hello\r\n\r\n", "invalid header line"},
		"long header": {strings.Repeat("x", 1<<20), "header of a message is too long"},
		"cut off":     {"Content-Length: 10\r\n\r\n{", "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := &cli.App{Err: io.Discard, Log: func() *slog.Logger { return slog.New(slog.DiscardHandler) }}
			err := newServer(app, cli.LabFlags{}, cli.EngineFlags{Semantics: "cilium"}, "").run(t.Context(), strings.NewReader(tc.send), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ended with %v, want %q", err, tc.want)
			}
		})
	}
}

// TestNotJSON answers what is no JSON, and goes on.
func TestNotJSON(t *testing.T) {
	t.Parallel()
	var answers strings.Builder
	in := "Content-Length: 3\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n{x}" +
		"content-length: 2\r\n\r\n[]" + "Content-Length: 44\r\n\r\n" + `{"jsonrpc":"2.0","id":7,"method":"shutdown"}`
	done := make(chan struct{})
	r, w := io.Pipe()
	go func() { // reads as an editor does
		defer close(done)
		for in := bufio.NewReader(r); ; {
			line, err := in.ReadString('}')
			answers.WriteString(line)
			if err != nil || strings.Contains(answers.String(), `"id":7`) && strings.HasSuffix(answers.String(), "}}") {
				return
			}
		}
	}()
	app := &cli.App{Err: io.Discard, Log: func() *slog.Logger { return slog.New(slog.DiscardHandler) }}
	input, feed := io.Pipe()
	go func() {
		_, _ = io.WriteString(feed, in)
		<-done
		feed.Close()
	}()
	_ = newServer(app, cli.LabFlags{}, cli.EngineFlags{Semantics: "cilium"}, "").run(t.Context(), input, w)
	for _, want := range []string{"-32700", "-32600", "-32002"} { // no JSON, an empty batch, not initialized
		if !strings.Contains(answers.String(), want) {
			t.Errorf("no %s in %s", want, answers.String())
		}
	}
}

// TestCancel cancels a request that waits.
func TestCancel(t *testing.T) {
	t.Parallel()
	dir, content := shop(t)
	s := begin(t, nil)
	f := s.open(filepath.Join(dir, "lab.hcl"), content)
	f.replace("lab ", "lab  ") // code lenses wait for the analysis, which waits for the end of typing
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := s.client.Call(ctx, "textDocument/codeLens", f.document()); err == nil {
		t.Log("the request was answered before it was cancelled")
	}
	var h json.RawMessage
	s.call("textDocument/hover", f.at("t|ask \"close\""), &h)
	if !strings.Contains(string(h), "objective") {
		t.Errorf("after a cancelled request: %s", h)
	}
}
