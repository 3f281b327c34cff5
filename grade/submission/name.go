package submission

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// archives are the endings of files that are taken for archives, and what these are called where they cannot be opened.
var archives = []struct{ suffix, kind string }{
	{".tar.gz", ""}, {".zip", ""}, {".tar", ""}, {".tgz", ""},
	{".tar.bz2", "bzip2"}, {".tar.xz", "xz"}, {".tar.zst", "Zstandard"}, {".tbz2", "bzip2"}, {".tbz", "bzip2"}, {".txz", "xz"}, {".tzst", "Zstandard"},
	{".rar", "RAR"}, {".7z", "7-Zip"}, {".gz", "gzip"}, {".bz2", "bzip2"}, {".xz", "xz"}, {".zst", "Zstandard"}, {".zipx", "ZIPX"}, {".arj", "ARJ"},
	{".lzh", "LHA"}, {".cab", "CAB"}, {".ace", "ACE"},
}

// manifests are the endings of files of manifests.
var manifests = []string{".yaml", ".yml", ".json"}

// IsArchive reports whether a file is taken for an archive, by its name. Not every kind can be opened.
func IsArchive(name string) bool { return archiveSuffix(name) != "" }

func archiveSuffix(name string) string {
	for _, a := range archives {
		if s := hasSuffix(name, a.suffix); s != "" {
			return s
		}
	}
	return ""
}

// hasSuffix returns the ending of a name as it is written there, if it is this one in any case.
func hasSuffix(name, suffix string) string {
	if len(name) >= len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix) {
		return name[len(name)-len(suffix):]
	}
	return ""
}

// Suffix is the ending of a name that makes it that of a submission: of manifests, of an archive, or of manifests that an editor
// saved as text ("policy.yaml.txt"). It is "" if the name has none.
func Suffix(name string) string {
	if s := archiveSuffix(name); s != "" {
		return s
	}
	for _, m := range manifests {
		for _, s := range []string{m, m + ".txt"} {
			if s := hasSuffix(name, s); s != "" {
				return s
			}
		}
	}
	return ""
}

// Junk reports whether a file or folder of this name is left behind by an operating system or an office program.
func Junk(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~$") || name == "__MACOSX" || name == "Icon\r" ||
		strings.EqualFold(name, "Thumbs.db") || strings.EqualFold(name, "desktop.ini")
}

// Printable returns a name in a form that is safe to print: control characters, those that change the direction of text, and what
// is not UTF-8 are written as escapes.
func Printable(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, Unprintable) {
		return name
	}
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(name[i:], "\ufffd"):
			b.WriteString(`\x` + strconv.FormatUint(uint64(name[i]), 16))
		case Unprintable(c):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(c), "'"))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// Unprintable reports whether a character is a control character, a line or paragraph separator, or one that is invisible and
// changes the direction of text. Joiners are part of words in some scripts.
func Unprintable(c rune) bool {
	switch {
	case c == '\u200c' || c == '\u200d':
		return false
	case c == '\u2028' || c == '\u2029':
		return true
	}
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c)
}

// CannotOpen says why a file holds no submission that can be read, by its name; "" if it may hold one.
func CannotOpen(name string) string {
	suffix := Suffix(name)
	switch kind := kindByName(name); {
	case kind != "":
		return kind + " files cannot be opened"
	case suffix == "" || hasSuffix(suffix, ".txt") != "":
		return "this is not a file of manifests (*.yaml, *.yml, *.json), nor an archive"
	}
	return ""
}
