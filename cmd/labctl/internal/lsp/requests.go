package lsp

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/labctl/labctl/labs"
)

// labDocument returns an open document that is a file of a lab; nil for other documents.
func (s *server) labDocument(uri string) (*document, error) {
	doc, err := s.document(uri)
	if err != nil || filepath.Ext(doc.path) != ".hcl" || !s.isLab(filepath.Dir(doc.path)) {
		return nil, err
	}
	return doc, nil
}

func (s *server) completion(_ context.Context, p *positionParams) (any, error) {
	doc, err := s.labDocument(p.TextDocument.URI)
	if doc == nil {
		return nil, err
	}
	files, _ := s.labFiles(filepath.Dir(doc.path))
	s.lastParsed(files)
	offset := doc.offset(p.Position)
	c := completer{place: placeAt(doc.s, offset), index: indexFiles(files), doc: doc, offset: offset, snippets: s.snippets}
	return c.complete(), nil
}

func (s *server) hover(_ context.Context, p *positionParams) (any, error) {
	doc, err := s.labDocument(p.TextDocument.URI)
	if doc == nil {
		return nil, err
	}
	files, _ := s.labFiles(filepath.Dir(doc.path))
	if h := hoverAt(doc, indexFiles(files), doc.offset(p.Position)); h != nil {
		return h, nil
	}
	return nil, nil
}

// named returns the name at a position, the names of its lab, and the lab's files; nil if there is no name.
func (s *server) named(p *positionParams) (*occurrence, *index, map[string]*hcl.File, error) {
	doc, err := s.labDocument(p.TextDocument.URI)
	if doc == nil {
		return nil, nil, nil, err
	}
	files, _ := s.labFiles(filepath.Dir(doc.path))
	x := indexFiles(files)
	return x.at(doc.path, doc.offset(p.Position)), x, files, nil
}

// locate is where a name stands, for the editor.
func (s *server) locate(o *occurrence, files map[string]*hcl.File) location {
	uri := uriOf(o.file)
	s.mu.Lock()
	if d := s.docs[o.file]; d != nil {
		uri = d.uri
	}
	s.mu.Unlock()
	return location{uri, newText(string(files[o.file].Bytes)).span(o.start, o.end)}
}

func (s *server) definition(_ context.Context, p *positionParams) (any, error) {
	o, x, files, err := s.named(p)
	if o == nil {
		return nil, err
	}
	if d := x.declaration(o.name); d != nil {
		return s.locate(d, files), nil
	}
	return nil, nil
}

func (s *server) references(_ context.Context, p *positionParams) (any, error) {
	o, x, files, err := s.named(p)
	if o == nil {
		return nil, err
	}
	places := []location{}
	for _, o := range x.of(o.name) {
		places = append(places, s.locate(&o, files))
	}
	return places, nil
}

func (s *server) prepareRename(_ context.Context, p *positionParams) (any, error) {
	o, x, files, err := s.named(p)
	if o == nil || x.declaration(o.name) == nil {
		return nil, err
	}
	return renameTarget{s.locate(o, files).Range, o.label}, nil
}

func (s *server) rename(_ context.Context, p *renameParams) (any, error) {
	o, x, files, err := s.named(&p.positionParams)
	switch {
	case err != nil:
		return nil, err
	case o == nil || x.declaration(o.name) == nil:
		return nil, failed("there is nothing here that can be renamed")
	}
	if _, valid := s.labFiles(filepath.Dir(o.file)); !valid {
		return nil, failed("the lab has syntax errors, so labctl may miss a reference; fix them first")
	}
	if problem := x.checkRename(o.name, p.NewName); problem != "" {
		return nil, failed("%s", problem)
	}
	edit := workspaceEdit{map[string][]textEdit{}}
	for _, at := range x.of(o.name) {
		l := s.locate(&at, files)
		edit.Changes[l.URI] = append(edit.Changes[l.URI], textEdit{l.Range, p.NewName})
	}
	return edit, nil
}

func (s *server) formatting(_ context.Context, p *documentParams) (any, error) {
	doc, err := s.document(p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(doc.path) != ".hcl" {
		return nil, nil
	}
	formatted, diags := labs.Format([]byte(doc.s), doc.path)
	if diags.HasErrors() || string(formatted) == doc.s {
		return []textEdit{}, nil // the diagnostics say already what is wrong
	}
	return []textEdit{{doc.span(0, len(doc.s)), string(formatted)}}, nil
}

func (s *server) codeLens(ctx context.Context, p *documentParams) (any, error) {
	doc, err := s.document(p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	lenses := []codeLens{}
	for _, f := range s.foldersOf(doc.path) {
		found, err := s.wait(ctx, f)
		if err != nil {
			return nil, err
		}
		if found == nil {
			continue
		}
		lenses = append(lenses, found.lenses[doc.path]...)
		if found.lab != nil && filepath.Ext(doc.path) == ".hcl" {
			lenses = append(lenses, objectiveLenses(doc, found.lab)...)
		}
	}
	return lenses, nil
}

// objectiveLenses says above each task and objective what it is made of. The lab is that of the document as it is, or
// there is none.
func objectiveLenses(doc *document, lab *labFacts) []codeLens {
	file, _ := labs.ParseFile([]byte(doc.s), doc.path)
	if file == nil {
		return nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	var lenses []codeLens
	add := func(b *hclsyntax.Block) {
		rng := b.DefRange()
		if text := lab.texts[rangeKey(rng)]; text != "" {
			lenses = append(lenses, codeLens{doc.span(rng.Start.Byte, rng.End.Byte), command{Title: text}})
		}
	}
	for _, task := range body.Blocks {
		if !strings.EqualFold(task.Type, "task") {
			continue
		}
		add(task)
		for _, objective := range task.Body.Blocks {
			if objective.Type == "objective" {
				add(objective)
			}
		}
	}
	return lenses
}
