//go:build ignore

// Capture turns what a command prints in colour into an SVG that looks like a terminal:
//
//	CLICOLOR_FORCE=1 labctl grade … | go run docs/img/capture.go 'labctl grade …' >grade.svg
//
// The argument is the command line shown above the output.
package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"unicode/utf8"
)

const (
	charWidth, lineHeight, margin = 8.0, 19, 16
	columns                       = 100 // what labctl wraps at where there is no terminal
)

// styles are the SGR codes that labctl uses, as attributes of a tspan.
var styles = map[string]string{
	"1":  `font-weight="bold"`,
	"2":  `fill="#8b949e"`,
	"31": `fill="#ff7b72"`,
	"32": `fill="#56d364"`,
	"33": `fill="#e3b341"`,
	"36": `fill="#76e3ea"`,
}

func main() {
	log.SetFlags(0)
	lines := []string{"\x1b[2m$\x1b[0m " + strings.Join(os.Args[1:], " "), ""}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d">`+"\n",
		int(columns*charWidth)+2*margin, len(lines)*lineHeight+2*margin)
	fmt.Fprintln(out, `<rect width="100%" height="100%" rx="8" fill="#0d1117"/>`)
	fmt.Fprintln(out, `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="13" fill="#e6edf3">`)
	for i, line := range lines {
		fmt.Fprintf(out, `<text xml:space="preserve" y="%d">`, margin+(i+1)*lineHeight-5)
		writeLine(out, line)
		fmt.Fprintln(out, "</text>")
	}
	fmt.Fprintln(out, "</g>\n</svg>")
}

// writeLine writes the spans of a line, each at its column, so that fonts of other widths stay aligned.
func writeLine(out io.Writer, line string) {
	column := 0
	var active []string
	span := func(text string) {
		if strings.TrimSpace(text) != "" {
			fmt.Fprintf(out, `<tspan x="%.0f" %s>`, margin+float64(column)*charWidth, strings.Join(active, " "))
			if err := xml.EscapeText(out, []byte(text)); err != nil {
				log.Fatal(err)
			}
			fmt.Fprint(out, "</tspan>")
		}
		column += utf8.RuneCountInString(text)
	}
	for {
		text, rest, found := strings.Cut(line, "\x1b[")
		span(text)
		if !found {
			return
		}
		code, after, _ := strings.Cut(rest, "m")
		if style, ok := styles[code]; ok {
			active = append(active, style)
		} else {
			active = nil
		}
		line = after
	}
}
