package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What a reply is made of. The words are letters only: nothing in them may look like a card or telephone number.
const (
	words        = "the quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak tree "
	eventTail    = `"},"logprobs":null,"finish_reason":null}]}` + "\n\n"
	completionID = `"id":"chatcmpl-bench","created":1750000000,"system_fingerprint":"fp_bench",`
)

// serveModel answers every POST as its model's name asks, and every other request with an empty 200.
func serveModel(addresses []string) error {
	runtime.GOMAXPROCS(1)
	failed := make(chan error, len(addresses))
	for _, address := range addresses {
		listener, err := net.Listen(split(address))
		if err != nil {
			return err
		}
		defer listener.Close()
		go func() { failed <- accept(listener) }()
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-failed:
		return err
	case <-ended:
		return nil
	}
}

func accept(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			if err := converse(connection); err != nil && !gone(err) {
				fmt.Fprintln(os.Stderr, "model:", err)
			}
		}()
	}
}

func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET)
}

func converse(connection net.Conn) error {
	reader := bufio.NewReaderSize(connection, 64<<10)
	var body bytes.Buffer
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return err
		}
		body.Reset()
		if _, err := body.ReadFrom(request.Body); err != nil {
			return err
		}
		if request.Method == http.MethodPost {
			err = answer(connection, body.Bytes())
		} else {
			_, err = io.WriteString(connection, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		}
		if err != nil {
			return err
		}
	}
}

// answer reads what is wanted from the model's name: `plain-<bytes>`, or `events-<count>-<microseconds between them>`.
func answer(connection net.Conn, body []byte) error {
	switch parts := strings.Split(modelName(body), "-"); {
	case len(parts) == 2 && parts[0] == "plain":
		size, err := strconv.Atoi(parts[1])
		if err != nil {
			return err
		}
		_, err = connection.Write(completion(size))
		return err
	case len(parts) == 3 && parts[0] == "events":
		count, _ := strconv.Atoi(parts[1])
		pause, _ := strconv.Atoi(parts[2])
		return stream(connection, count, time.Duration(pause)*time.Microsecond)
	default:
		_, err := io.WriteString(connection, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
		return err
	}
}

func modelName(body []byte) string {
	for _, key := range []string{`"model":"`, `"model": "`} {
		if _, rest, found := bytes.Cut(body, []byte(key)); found {
			name, _, _ := bytes.Cut(rest, []byte(`"`))
			return string(name)
		}
	}
	return ""
}

var completions sync.Map // size -> the reply, made once

// completion is a whole reply whose body has exactly this many bytes.
func completion(size int) []byte {
	if made, found := completions.Load(size); found {
		return made.([]byte)
	}
	head := `{` + completionID + `"object":"chat.completion","model":"bench","choices":[{"index":0,"message":` +
		`{"role":"assistant","refusal":null,"content":"`
	tail := `"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":100,` +
		`"total_tokens":300}}`
	body := head + content(size-len(head)-len(tail)) + tail
	made := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
	completions.Store(size, made)
	return made
}

func content(size int) string {
	return strings.Repeat(words, size/len(words)+1)[:max(size, 0)]
}

// stream writes each event by itself, as a model does that has just thought of it.
func stream(connection net.Conn, count int, pause time.Duration) error {
	head := "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(connection, head); err != nil {
		return err
	}
	buffer := make([]byte, 0, 512)
	for index := range count {
		if pause > 0 {
			time.Sleep(pause)
		} else {
			runtime.Gosched()
		}
		buffer = chunk(buffer[:0], event(index, time.Now()))
		if _, err := connection.Write(buffer); err != nil {
			return err
		}
	}
	last := `data: {` + completionID + `"object":"chat.completion.chunk","model":"bench","choices":[{"index":0,` +
		`"delta":{},"logprobs":null,"finish_reason":"stop"}]}` + "\n\n"
	buffer = chunk(chunk(buffer[:0], last), "data: [DONE]\n\n")
	_, err := connection.Write(append(buffer, "0\r\n\r\n"...))
	return err
}

func chunk(buffer []byte, data string) []byte {
	return fmt.Appendf(buffer, "%x\r\n%s\r\n", len(data), data)
}

// event is one token. Its content says which one it is and when it was written.
func event(index int, written time.Time) string {
	return `data: {` + completionID + `"object":"chat.completion.chunk","model":"bench","choices":[{"index":0,` +
		`"delta":{"content":"` + token(index, written) + eventTail
}

// token is ` <index in letters>:<nanoseconds since 1970 in letters>`.
func token(index int, written time.Time) string {
	return " " + letters(int64(index)) + ":" + letters(written.UnixNano())
}

// letters writes a number to base 16 with the digits a to p.
func letters(number int64) string {
	digits := []byte(strconv.FormatInt(number, 16))
	for place, digit := range digits {
		if digit <= '9' {
			digits[place] = 'a' + digit - '0'
		} else {
			digits[place] = 'k' + digit - 'a'
		}
	}
	return string(digits)
}

// number reads what letters wrote.
func number(text string) (int64, error) {
	var value int64
	for _, letter := range []byte(text) {
		if letter < 'a' || letter > 'p' {
			return 0, fmt.Errorf("%q is no number in letters", text)
		}
		value = value<<4 | int64(letter-'a')
	}
	return value, nil
}
