package submission

import (
	"archive/zip"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// ZipName is the name of an entry of a .zip. Names are UTF-8 where a flag or an extra field says so, and often
// where nothing does. Otherwise they are in the code page of the machine that packed them: Windows uses that of its console
// ("OEM"), which is 437 in America, 850 in western Europe; other systems that leave the flag out use Latin-1.
// Old programs of Windows separate folders by backslashes, against the specification (APPNOTE.TXT 4.4.17).
func ZipName(f *zip.File) string {
	name := f.Name
	if unicodePath, ok := unicodePath(f); ok {
		name = unicodePath
	} else if !utf8.ValidString(name) {
		name = decodeOEM(withoutTrails(name), f.CreatorVersion>>8)
	}
	return strings.ReplaceAll(name, `\`, "/")
}

// withoutTrails replaces backslashes that are the second byte of a character, as in Shift JIS, Big5 and GBK, by underscores: they
// separate nothing. Such a byte comes after one that is not ASCII, in a name that has slashes, or before what begins no name.
func withoutTrails(name string) string {
	b := []byte(name)
	slashes := strings.Contains(name, "/")
	for i := 1; i < len(b); i++ {
		second := b[i] == '\\' && b[i-1] >= utf8.RuneSelf
		if second && (slashes || i+1 == len(b) || b[i+1] == '.' || b[i+1] >= utf8.RuneSelf) {
			b[i] = '_'
		}
	}
	return string(b)
}

// unix is the system of an entry's "version made by".
const unix = 3

// unicodePath reads Info-ZIP's extra field with the name in UTF-8, which counts only while the name is the one that it was made
// for (APPNOTE.TXT 4.6.9).
func unicodePath(f *zip.File) (string, bool) {
	const id = 0x7075
	for extra := f.Extra; len(extra) >= 4; {
		tag, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return "", false
		}
		if data := extra[:size]; tag == id && size > 5 && data[0] == 1 {
			if binary.LittleEndian.Uint32(data[1:]) == crc32.ChecksumIEEE([]byte(f.Name)) && utf8.Valid(data[5:]) {
				return string(data[5:]), true
			}
		}
		extra = extra[size:]
	}
	return "", false
}

// decodeOEM reads a name that is in no encoding that is said: by the system that made the entry.
func decodeOEM(name string, system uint16) string {
	page := charmap.CodePage437
	if system == unix {
		page = charmap.Windows1252
	}
	text, err := page.NewDecoder().String(name)
	if err == nil && page == charmap.CodePage437 && strings.ContainsFunc(text, unlikely) {
		// What is a letter in 850 is a line or a symbol in 437.
		text, err = charmap.CodePage850.NewDecoder().String(name)
	}
	if err != nil { // code pages of a byte a character know them all
		return strings.ToValidUTF8(name, "\ufffd")
	}
	return text
}

// unlikely reports whether a character is none that people put into names of files.
func unlikely(c rune) bool {
	return c >= 0x2500 && c < 0x25a0 || unicode.Is(unicode.Greek, c) || unicode.Is(unicode.Sm, c) && c > unicode.MaxASCII
}

// cleanName returns the path that an entry's name means in an archive; "" is the archive itself. It is not ok if it leads out of
// it or is no name.
func cleanName(name string) (string, bool) {
	if !utf8.ValidString(name) || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00") {
		return "", false
	}
	if len(name) >= 2 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z') {
		return "", false // a drive of Windows
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", false
		default:
			parts = append(parts, withoutDirections(part))
		}
	}
	clean := strings.Join(parts, "/")
	return clean, clean == "" || fs.ValidPath(clean)
}

// withoutDirections leaves out of a name what is invisible and changes the direction of text: it comes along when names are copied.
func withoutDirections(part string) string {
	return strings.Map(func(c rune) rune {
		if Unprintable(c) && !isControl(c) {
			return -1
		}
		return c
	}, part)
}

func isControl(c rune) bool { return unicode.IsControl(c) }
