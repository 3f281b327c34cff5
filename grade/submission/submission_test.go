package submission_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/submission"
)

// packed is one entry of an archive, byte by byte.
type packed struct {
	name, text string
	method     uint16 // of compression; one that cannot be read is only said
	flags      uint16
	system     uint16 // that made it: 0 is Windows
	extra      []byte
}

func zipOf(t testing.TB, entries ...packed) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: e.name, Method: e.method, Flags: e.flags, CreatorVersion: e.system << 8, Extra: e.extra, CRC32: crc32.ChecksumIEEE([]byte(e.text)),
			CompressedSize64: uint64(len(e.text)), UncompressedSize64: uint64(len(e.text)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// zipped is a .zip of files with these texts.
func zipped(t testing.TB, nameAndText ...string) string {
	var all []packed
	for i := 0; i < len(nameAndText); i += 2 {
		all = append(all, packed{name: nameAndText[i], text: nameAndText[i+1]})
	}
	return zipOf(t, all...)
}

func tarred(t testing.TB, compressed bool, nameAndText ...string) string {
	t.Helper()
	var b, z bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(nameAndText); i += 2 {
		text := nameAndText[i+1]
		if err := w.WriteHeader(&tar.Header{Name: nameAndText[i], Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !compressed {
		return b.String()
	}
	gz := gzip.NewWriter(&z)
	if _, err := gz.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return z.String()
}

// unicodePath is Info-ZIP's extra field with a name in UTF-8, made for the name old.
func unicodePath(old, name string) []byte {
	field := binary.LittleEndian.AppendUint16(nil, 0x7075)
	field = binary.LittleEndian.AppendUint16(field, uint16(5+len(name)))
	field = append(field, 1)
	field = binary.LittleEndian.AppendUint32(field, crc32.ChecksumIEEE([]byte(old)))
	return append(field, name...)
}

// patched is data with other bytes at a place.
func patched(data string, at int, with string) string { return data[:at] + with + data[at+len(with):] }

// read reads files as a lab with the tasks deny and allow takes them: name says which file, "." all.
func read(files map[string]string, name string, lim manifest.Limits) (*submission.Tree, error) {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	bare := func(folder string) string { return strings.TrimLeft(folder, "0123456789-") }
	r := submission.Reader{
		Limits: lim,
		IsTask: func(folder string) bool { return slices.Contains([]string{"deny", "allow"}, bare(folder)) },
		NearTask: func(folder string) bool {
			return slices.Contains([]string{"deny", "dney", "denny", "allow", "alow"}, bare(folder))
		},
	}
	return r.Read(fsys, name, "")
}

// summary is a tree or an error in a line.
func summary(tree *submission.Tree, err error) string {
	if err != nil {
		kind := "machine"
		if errors.As(err, new(manifest.Problems)) {
			kind = "refused"
		} else if errors.As(err, new(*submission.SeveralArchives)) {
			kind = "several"
		}
		return kind + ": " + err.Error()
	}
	var names []string
	for _, f := range tree.Files {
		names = append(names, f.Name)
	}
	text := strings.Join(names, " ")
	if len(tree.NotRead) > 0 {
		text += " | " + strings.Join(tree.NotRead, " ")
	}
	if tree.More > 0 {
		text += fmt.Sprint(" +", tree.More)
	}
	return text
}

// What people hand in is read as it was meant, and what cannot be read is called what it is.
func TestRead(t *testing.T) {
	t.Parallel()
	const y = "a: b\n"
	solution := zipped(t, "answers/01-deny/p.yaml", y, "answers/02-allow/p.yaml", y)
	rar5, rar4, sevenZip := "Rar!\x1a\x07\x01\x00rest", "Rar!\x1a\x07\x00rest", "7z\xbc\xaf\x27\x1crest"
	at := func(nameAndText ...string) map[string]string {
		files := map[string]string{}
		for i := 0; i < len(nameAndText); i += 2 {
			files[nameAndText[i]] = nameAndText[i+1]
		}
		return files
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // a prefix
	}{
		// Folders.
		{"as it should be", at("01-deny/p.yaml", y, "02-allow/q.yml", y), "01-deny/p.yaml 02-allow/q.yml"},
		{"one folder around it", at("answers/01-deny/p.yaml", y, "answers/02-allow/p.yaml", y), "01-deny/p.yaml 02-allow/p.yaml"},
		{"three folders around it", at("a/a/a/01-deny/p.yaml", y, "a/a/a/02-allow/p.yaml", y), "01-deny/p.yaml 02-allow/p.yaml"},
		{"a folder around it, and other things", at("a/01-deny/p.yaml", y, "a/02-allow/p.yaml", y, "README.md", "", "shots/1.png", ""), "01-deny/p.yaml 02-allow/p.yaml | README.md shots/1.png"},
		{"one task only, with folders around", at("a/b/01-deny/p.yaml", y), "01-deny/p.yaml"},
		{"what was deleted", at("a/b/01-deny/delete/p.yaml", y), "01-deny/delete/p.yaml"},
		{"flat, what was deleted", at("a/delete/p.yaml", y, "a/q.yaml", y), "delete/p.yaml q.yaml"},
		{"a hidden manifest is named", at("01-deny/p.yaml", y, "01-deny/.q.yaml", y, "01-deny/._q.yaml", "", ".git/x.yaml", y), "01-deny/p.yaml | 01-deny/.q.yaml"},
		{"a hidden manifest in an archive is named", at("a.zip", zipped(t, "01-deny/p.yaml", y, "01-deny/.q.yaml", y, "01-deny/._q.yaml", "", ".git/x.yaml", y)), "01-deny/p.yaml | 01-deny/.q.yaml"},
		{"flat in folders keeps its names", at("a/b/p.yaml", y), "a/b/p.yaml"},
		{"a name that is nearly a task's stays", at("01-dney/p.yaml", y), "01-dney/p.yaml"},
		{"nearly a task's, with what was deleted", at("01-dney/delete/p.yaml", y), "01-dney/delete/p.yaml"},
		{"nearly a task's in a folder", at("a/01-dney/p.yaml", y), "01-dney/p.yaml"},
		{"a folder that is called nearly as a task", at("denny/01-deny/p.yaml", y, "denny/02-allow/p.yaml", y), "01-deny/p.yaml 02-allow/p.yaml"},
		{"manifests beside the tasks are not hidden", at("a/01-deny/p.yaml", y, "q.yaml", y), "a/01-deny/p.yaml q.yaml"},
		{"what systems leave behind", at("a/01-deny/p.yaml", y, "a/.DS_Store", "", "__MACOSX/a/01-deny/._p.yaml", y, "Thumbs.db", "", "a/desktop.ini", "", "a/~$notes.docx", "", "a/Icon\r", ""), "01-deny/p.yaml"},
		{"nothing", at("notes.txt", ""), " | notes.txt"},

		// Archives in folders and archives.
		{"one archive", at("answers.zip", solution), "01-deny/p.yaml 02-allow/p.yaml"},
		{"an archive in a folder in a folder", at("a/b/answers.zip", solution, "a/notes.pdf", ""), "01-deny/p.yaml 02-allow/p.yaml | a/notes.pdf"},
		{"zip in folder in zip", at("x.zip", zipped(t, "f/answers.zip", solution, "f/1.png", "")), "01-deny/p.yaml 02-allow/p.yaml | f/1.png"},
		{"zip in tar.gz in zip", at("x.zip", zipped(t, "y.tar.gz", tarred(t, true, "f/README", "", "f/z.zip", solution))), "01-deny/p.yaml 02-allow/p.yaml | f/README"},
		{"tar in tar", at("x.tar", tarred(t, false, "a.txt", "", "y.tar", tarred(t, false, "deny/p.yaml", y))), "deny/p.yaml | a.txt"},
		{"an archive of each task", at("01-deny.zip", zipped(t, "p.yaml", y), "02-allow.tgz", tarred(t, true, "02-allow/p.yaml", y, "02-allow/delete/q.yaml", y)), "01-deny/p.yaml 02-allow/delete/q.yaml 02-allow/p.yaml"},
		{"an archive of each task in a folder", at("a/01-deny.zip", zipped(t, "p.yaml", y), "a/02-allow.zip", zipped(t, "p.yaml", y)), "01-deny/p.yaml 02-allow/p.yaml"},
		{"an archive of one task beside folders", at("01-deny/p.yaml", y, "02-allow.zip", zipped(t, "p.yaml", y)), "01-deny/p.yaml 02-allow/p.yaml"},
		{"an archive called as a task holds all", at("deny.zip", solution), "01-deny/p.yaml 02-allow/p.yaml"},
		{"an archive in a task's folder", at("01-deny/p.yaml", y, "02-allow/answer.zip", zipped(t, "x/p.yaml", y, "x/delete/q.yaml", y), "02-allow/1.png", ""), "01-deny/p.yaml 02-allow/delete/q.yaml 02-allow/p.yaml | 02-allow/1.png"},
		{"archives in all tasks' folders", at("01-deny/a.zip", zipped(t, "p.yaml", y), "02-allow/a.zip", zipped(t, "p.yaml", y)), "01-deny/p.yaml 02-allow/p.yaml"},
		{"an archive beside manifests is not opened", at("01-deny/p.yaml", y, "01-deny/old.zip", solution, "backup.zip", solution), "01-deny/p.yaml | 01-deny/old.zip backup.zip"},
		{"several archives", at("a.zip", solution, "b.zip", solution), "several: there are several archives, and nobody can know which one counts: a.zip, b.zip"},
		{"several in an archive", at("x.zip", zipped(t, "a.zip", solution, "b.zip", solution)), "several: there are several archives"},
		{"one that can be opened and one that cannot", at("a.zip", solution, "b.rar", rar5), "01-deny/p.yaml 02-allow/p.yaml | b.rar"},
		{"a .rar that is a .zip", at("a.rar", solution), "01-deny/p.yaml 02-allow/p.yaml"},

		// Names of Windows.
		{"code page 437", at("a.zip", zipOf(t, packed{name: "L\x94sung/01-deny/r\x81d.yaml", text: y}, packed{name: "Bild.p\x84g"})), "01-deny/rüd.yaml | Bild.päg"},
		{"Shift JIS, whose characters may end in a backslash", at("a.zip", zipOf(t, packed{name: "01-deny/\x95\x5c.yaml", text: y})), "01-deny/ò_.yaml"},
		{"Big5", at("a.zip", zipOf(t, packed{name: "\xa5\x5c\xbd\xd2/01-deny/\xb3\x5c\xa5\x5c\xbb\x5c.yaml", text: y})), "01-deny/│_Ñ_╗_.yaml"},
		{"Shift JIS without folders", at("a.zip", zipOf(t, packed{name: "\x95\x5c.yaml", text: y})), "ò_.yaml"},
		{"backslashes after an umlaut", at("a.zip", zipOf(t, packed{name: "Men\x81\\01-deny\\p.yaml", text: y})), "01-deny/p.yaml"},
		{"code page 850", at("a.zip", zipOf(t, packed{name: "01-deny/\xb5\xd6\xc6.yaml", text: y})), "01-deny/ÁÍã.yaml"},
		{"Latin-1 of Unix", at("a.zip", zipOf(t, packed{name: "01-deny/\xe4\xe9.yaml", text: y, system: 3})), "01-deny/äé.yaml"},
		{"UTF-8 that nobody says", at("a.zip", zipOf(t, packed{name: "01-deny/ä.yaml", text: y, flags: 0})), "01-deny/ä.yaml"},
		{"the name in an extra field", at("a.zip", zipOf(t, packed{name: "01-deny/?.yaml", text: y, extra: unicodePath("01-deny/?.yaml", "01-deny/日本.yaml")})), "01-deny/日本.yaml"},
		{"an extra field that is of another name", at("a.zip", zipOf(t, packed{name: "01-deny/p.yaml", text: y, extra: unicodePath("other", "02-allow/p.yaml")})), "01-deny/p.yaml"},
		{"an extra field that climbs", at("a.zip", zipOf(t, packed{name: "p.yaml", text: y, extra: unicodePath("p.yaml", "../p.yaml")})), "refused: a.zip: the archive contains an entry \"../p.yaml\", whose name is invalid or points outside the archive"},
		{"an extra field that is cut", at("a.zip", zipOf(t, packed{name: "deny/p.yaml", text: y, extra: unicodePath("", "x")[:6]})), "deny/p.yaml"},
		{"backslashes", at("a.zip", zipOf(t, packed{name: `ans\`}, packed{name: `ans\01-deny\p.yaml`, text: y}, packed{name: `ans\02-allow\p.yaml`, text: y})), "01-deny/p.yaml 02-allow/p.yaml"},
		{"backslashes and slashes", at("a.zip", zipOf(t, packed{name: `01-deny\p.yaml`, text: y}, packed{name: "02-allow/p.yaml", text: y})), "01-deny/p.yaml 02-allow/p.yaml"},
		{"backslashes that climb", at("a.zip", zipOf(t, packed{name: `01-deny\..\..\p.yaml`, text: y})), "refused: a.zip: the archive contains an entry"},
		{"a drive", at("a.zip", zipOf(t, packed{name: `C:\01-deny\p.yaml`, text: y})), "refused: a.zip: the archive contains an entry"},
		{"a share", at("a.zip", zipOf(t, packed{name: `\\server\deny\p.yaml`, text: y})), "refused: a.zip: the archive contains an entry"},
		{"slashes too many", at("a.zip", zipOf(t, packed{name: "./01-deny//./p.yaml", text: y})), "01-deny/p.yaml"},

		// What cannot be opened.
		{"with a password", at("a.zip", zipOf(t, packed{name: "deny/p.yaml", text: y, flags: 1})), "refused: a.zip: the archive is encrypted, so deny/p.yaml cannot be read (pack it without a password)"},
		{"with AES", at("a.zip", zipOf(t, packed{name: "deny/p.yaml", text: y, method: 99})), "refused: a.zip: the archive is encrypted"},
		{"with a password inside", at("x.zip", zipped(t, "a.zip", zipOf(t, packed{name: "p.yaml", text: y, flags: 1}))), "refused: a.zip: the archive is encrypted"},
		{"an archive with a password in an archive with one", at("x.zip", zipOf(t, packed{name: "a.zip", text: solution, flags: 1})), "refused: x.zip: the archive is encrypted, so a.zip cannot be read"},
		{"LZMA", at("a.zip", zipOf(t, packed{name: "p.yaml", text: y, method: 14})), "refused: a.zip: p.yaml is compressed with LZMA, which cannot be read (pack it with the standard method"},
		{"Zstandard", at("a.zip", zipOf(t, packed{name: "p.yaml", text: y, method: 93})), "refused: a.zip: p.yaml is compressed with Zstandard"},
		{"Deflate64", at("a.zip", zipOf(t, packed{name: "p.yaml", text: y, method: 9})), "refused: a.zip: p.yaml is compressed with Deflate64"},
		{"a method that nobody knows", at("a.zip", zipOf(t, packed{name: "p.yaml", text: y, method: 77})), "refused: a.zip: p.yaml is compressed with the method number 77"},
		{"a picture in LZMA is not read anyway", at("a.zip", zipOf(t, packed{name: "1.png", method: 14}, packed{name: "deny/p.yaml", text: y})), "deny/p.yaml | 1.png"},
		{"RAR 5", at("answers.rar", rar5), "refused: answers.rar: RAR files cannot be opened (pack the folder as a .zip"},
		{"RAR 4 called .zip", at("a.zip", rar4), "refused: a.zip: RAR files cannot be opened"},
		{"7-Zip called .tar.gz", at("a.tar.gz", sevenZip), "refused: a.tar.gz: 7-Zip files cannot be opened"},
		{"the beginning of 7-Zip", at("a.7z", "7z\xbc\xaf"), "refused: a.7z: 7-Zip files cannot be opened"},
		{"what only says that it is RAR", at("a/answers.RAR", "Rar"), "refused: a/answers.RAR: RAR files cannot be opened"},
		{"xz", at("a.tar.xz", "\xfd7zXZ\x00"), "refused: a.tar.xz: xz files cannot be opened"},
		{"a PDF called .zip", at("a.zip", "%PDF-1.7"), "refused: a.zip: PDF files cannot be opened"},
		{"one file in gzip", at("p.yaml.gz", func() string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(strings.Repeat("a: b # no tar\n", 100)))
			_ = z.Close()
			return b.String()
		}()), "refused: p.yaml.gz: the archive is damaged, incomplete, or of another kind"},
		{"half an archive", at("a.zip", solution[:len(solution)/2]), "refused: a.zip: the archive is damaged, incomplete"},
		{"an empty archive", at("a.zip", ""), "refused: a.zip: the archive is empty (0 bytes)"},
		{"text called .zip", at("a.zip", "apiVersion: v1"), "refused: a.zip: the archive is damaged, incomplete, or of another kind"},

		// Other files.
		{"saved by an editor as text", at("01-deny/p.yaml.txt", y), " | 01-deny/p.yaml.txt"},
		{"a document", at("answers.docx", "PK\x03\x04"), " | answers.docx"},
		{"more than are named", func() map[string]string {
			files := at("deny/p.yaml", y)
			for i := range 30 {
				files[fmt.Sprintf("%02d.png", i)] = ""
			}
			return files
		}(), "deny/p.yaml | 00.png 01.png 02.png 03.png 04.png 05.png 06.png 07.png 08.png 09.png 10.png 11.png 12.png 13.png 14.png 15.png 16.png 17.png 18.png 19.png +10"},

		// Characters that are not seen.
		{"directions in the names of manifests", at("deny/\u202ep\u200f.yaml", y), "deny/p.yaml"},
		{"directions that make two names one", at("deny/\u202ep.yaml", y, "deny/p.yaml", y), "refused: deny/p.yaml: two files have this name"},
		{"directions in an archive", at("a.zip", zipped(t, "\u2066deny\u2069/p.yaml", y, "\u202egnp.exe", "")), "deny/p.yaml | gnp.exe"},
		{"control characters in the names of others", at("a.zip", zipped(t, "deny/p.yaml", y, "\x1b]0;x\x07.png", "")), `deny/p.yaml | \x1b]0;x\a.png`},
		{"control characters in the names of manifests", at("a.zip", zipped(t, "deny/\x1b.yaml", y)), `refused: a.zip: the file name "deny/\x1b.yaml" contains control characters`},
		{"letters that join", at("deny/می\u200cخواهم.yaml", y), "deny/می\u200cخواهم.yaml"},

		// Names that clash.
		{"a directory that lies outside", at("a.zip", patched(solution, len(solution)-6, "\xff\xff\xff\x7f")), "refused: a.zip: the archive is damaged"},
		{"a directory that lies within the files", at("a.zip", patched(solution, len(solution)-6, "\x03\x00\x00\x00")), "refused: a.zip: the archive is damaged"},
		{"an empty directory in the comment", at("a.zip", patched(solution, len(solution)-2, "\x16\x00")+"PK\x05\x06"+strings.Repeat("\x00", 18)), "refused: a.zip: the archive is damaged"},
		{"an entry that lies outside", at("a.zip", patched(solution, strings.Index(solution, "PK\x01\x02")+42, "\xff\xff\xff\x0f")), "refused: a.zip: the archive is damaged, incomplete, or of another kind than its name says: answers/01-deny/p.yaml"},
		{"two of a name", at("a.zip", zipped(t, "deny/p.yaml", y, "deny/p.yaml", y)), "refused: deny/p.yaml: two files have this name"},
		{"a file and a folder", at("a.zip", zipped(t, "deny/p.yaml", y, "deny/p.yaml/q.yaml", y)), "refused: deny/p.yaml: this is both a file and a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := summary(read(c.files, ".", manifest.Limits{})); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// An archive, or a file of manifests, that is named itself is read whatever it is called.
func TestReadFile(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"deny.zip": zipped(t, "p.yaml", "a: b"), "x.tar": tarred(t, false, "p.yaml", "a: b"), "x.TGZ": tarred(t, true, "p.yaml", "a: b"), "p.yaml": "a: b",
	} {
		tree, err := read(map[string]string{name: text}, name, manifest.Limits{})
		if got := summary(tree, err); got != "p.yaml" {
			t.Errorf("%s: %s", name, got)
		} else if tree.Single != (name == "p.yaml") {
			t.Errorf("%s: is it a single file? %t", name, tree.Single)
		}
	}
	if got := summary(read(map[string]string{"p.yaml.txt": ""}, "p.yaml.txt", manifest.Limits{})); got != " | p.yaml.txt" {
		t.Error(got)
	}
}

// nested packs an archive into archives.
func nested(t testing.TB, depth int, data string) string {
	for range depth {
		data = zipped(t, "a.zip", data)
	}
	return data
}

// Limits hold across all archives of a submission, and messages say the limit, not what is left of it.
func TestLimits(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("#", 600)
	lim := manifest.Limits{Files: 10, FileBytes: 1000, TotalBytes: 2000, Depth: 5}
	var crowd []string
	for i := range 161 {
		crowd = append(crowd, fmt.Sprint(i), "")
	}
	for _, c := range []struct {
		name, file string
		want       string
	}{
		{"all files", zipped(t, "1.yaml", text, "2.yaml", text, "3.yaml", text, "4.yaml", text), "refused: 4.yaml: all files together are larger than 2000 bytes"},
		{"a file", zipped(t, "1.yaml", text+text), "refused: 1.yaml: file is too large: more than 1000 bytes"},
		{"exactly all", zipped(t, "1.yaml", text[:500], "2.yaml", text[:500], "3.yaml", text[:500], "4.yaml", text[:500], "5.yaml", ""), "1.yaml 2.yaml"},
		{"one more", zipped(t, "1.yaml", text[:500], "2.yaml", text[:500], "3.yaml", text[:500], "4.yaml", text[:500], "5.yaml", "#"), "refused: 5.yaml: all files together are larger than 2000 bytes"},
		{"files", zipped(t, "1.yaml", "", "2.yaml", "", "3.yaml", "", "4.yaml", "", "5.yaml", "", "6.yaml", "", "7.yaml", "", "8.yaml", "", "9.yaml", "", "a.yaml", "", "b.yaml", ""), "refused: b.yaml: more than 10 files"},
		{"entries", zipped(t, crowd...), "refused: a.zip: the archive has more than 160 entries"},
		{"folders", zipped(t, "1/2/3/4/5/6/p.yaml", ""), "refused: 1/2/3/4/5/6/p.yaml: directories are nested more than 5 deep"},
		{"archives in archives", nested(t, 9, zipped(t, "p.yaml", "")), "refused: a.zip: archives lie within archives more than 8 deep"},
		{"archives in archives that are just allowed", nested(t, 7, zipped(t, "p.yaml", "")), "p.yaml"},
		{"an archive that is too large", zipped(t, "x.bin", strings.Repeat("x", 32_001)), "refused: a.zip: the archive is larger than 32000 bytes"},
		{"archives that are too large together", nested(t, 4, zipped(t, "x.bin", strings.Repeat("x", 9_000))), "refused: a.zip: the archive is larger than 32000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := summary(read(map[string]string{"a.zip": c.file}, "a.zip", lim)); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	bomb := tarred(t, true, "film.mp4", strings.Repeat("\x00", 40_000))
	if got := summary(read(map[string]string{"a.tgz": bomb}, ".", lim)); !strings.HasPrefix(got, "refused: a.tgz: more than 32000 bytes once unpacked") {
		t.Error(got)
	}
}

// What the disk does not give is not the student's fault, and nothing that was put there for a while stays.
func TestMachine(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var failed *fs.PathError
	if _, err := (&submission.Reader{}).Read(broken{}, "a.yaml", ""); !errors.As(err, &failed) {
		t.Errorf("a disk that fails: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.zip"), []byte(nested(t, 3, zipped(t, "p.yaml", ""))), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := summary((&submission.Reader{}).Read(os.DirFS(dir), "a.zip", "")); got != "p.yaml" {
		t.Error(got)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// broken is a disk that fails when a file is read.
type broken struct{ fstest.MapFS }

func (broken) Open(name string) (fs.File, error) {
	f, err := fstest.MapFS{"a.yaml": {}}.Open(name)
	return brokenFile{f}, err
}

type brokenFile struct{ fs.File }

func (brokenFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "a.yaml", Err: errors.New("input/output error")}
}

// Whatever the bytes, reading ends, keeps to the limits and blames nobody for the machine.
func FuzzRead(f *testing.F) {
	solution := zipped(f, "a/01-deny/p.yaml", "a: b", "a/02-allow.zip", zipped(f, "delete/p.yaml", "x"))
	f.Add("a.zip", []byte(solution))
	f.Add("a.tgz", []byte(tarred(f, true, "x/a.zip", solution)))
	f.Add("a.tar", []byte(tarred(f, false, "01-deny.zip", solution, "b.rar", "Rar!")))
	f.Add("a.zip", []byte(zipOf(f, packed{name: "L\x94\\sung\\p.yaml", text: "x", extra: unicodePath("y", "z")})))
	lim := manifest.Limits{Files: 20, FileBytes: 1 << 10, TotalBytes: 1 << 12, Depth: 8}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || name == "." || len(data) > 1<<16 {
			return
		}
		for _, from := range []string{".", name} {
			tree, err := read(map[string]string{name: string(data)}, from, lim)
			if err != nil {
				if got := summary(nil, err); strings.HasPrefix(got, "machine") || len(got) > 4096+2*len(name) {
					t.Errorf("%s: %s", name, got)
				}
				continue
			}
			total := 0
			for _, file := range tree.Files {
				total += len(file.Data)
				if !fs.ValidPath(file.Name) {
					t.Errorf("%q is no path", file.Name)
				}
			}
			if total > 1<<12 || len(tree.Files) > 20 || len(tree.NotRead) > submission.MaxNotRead {
				t.Errorf("%d bytes in %d files, %d not read", total, len(tree.Files), len(tree.NotRead))
			}
			for _, other := range tree.NotRead {
				if strings.ContainsFunc(other, submission.Unprintable) {
					t.Errorf("%q is not printable", other)
				}
			}
		}
	})
}
