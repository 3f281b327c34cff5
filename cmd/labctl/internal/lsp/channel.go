package lsp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

const (
	maxMessage = 16 << 20 // bytes of one message
	maxHeader  = 4 << 10  // bytes of its header
)

// stream frames messages as the protocol does: headers, an empty line, and as many bytes as Content-Length says.
// jrpc2's own framing accepts any length and only one Content-Type.
type stream struct {
	in     *bufio.Reader
	out    io.Writer
	close  func() error
	broken error // why no further message can be read; set before close is called
}

// Send implements channel.Channel.
func (s *stream) Send(msg []byte) error {
	_, err := s.out.Write(append([]byte("Content-Length: "+strconv.Itoa(len(msg))+"\r\n\r\n"), msg...))
	return err
}

// Recv implements channel.Channel.
func (s *stream) Recv() ([]byte, error) {
	msg, err := s.read()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, fs.ErrClosed) {
		s.broken = err
	}
	return msg, err
}

func (s *stream) read() ([]byte, error) {
	size, read := -1, 0
	for {
		line, err := s.line(maxHeader - read)
		if err != nil {
			return nil, err
		}
		read += len(line)
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errors.New("invalid header line in a message")
		}
		if strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			size, err = strconv.Atoi(strings.TrimSpace(value))
			if err != nil || size < 0 {
				return nil, errors.New("invalid Content-Length in a message")
			}
		}
	}
	switch {
	case size < 0:
		return nil, errors.New("a message without Content-Length")
	case size > maxMessage:
		return nil, fmt.Errorf("a message of %d bytes; labctl accepts up to %d", size, maxMessage)
	}
	msg := make([]byte, size)
	_, err := io.ReadFull(s.in, msg)
	return msg, err
}

// line reads a line of at most so many bytes.
func (s *stream) line(limit int) (string, error) {
	var line []byte
	for len(line) < limit {
		b, err := s.in.ReadByte()
		if err != nil {
			return "", err
		}
		if line = append(line, b); b == '\n' {
			return string(line), nil
		}
	}
	return "", errors.New("the header of a message is too long")
}

// Close implements channel.Channel.
func (s *stream) Close() error { return s.close() }
