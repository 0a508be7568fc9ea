package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// stamped remembers when bytes last came.
type stamped struct {
	net.Conn
	at time.Time
}

func (s *stamped) Read(buffer []byte) (int, error) {
	count, err := s.Conn.Read(buffer)
	s.at = time.Now()
	return count, err
}

// caller is one connection's end of the loop.
type caller struct {
	run    *run
	from   *stamped
	reader *bufio.Reader
	body   bytes.Buffer
}

func (r *run) call() error {
	connection, err := r.dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	from := &stamped{Conn: connection}
	c := &caller{run: r, from: from, reader: bufio.NewReaderSize(from, 64<<10)}
	request := []byte(r.job.Request)
	for r.phase.Load() != finishing {
		started := time.Now()
		if _, err := connection.Write(request); err != nil {
			return err
		}
		if err := c.reply(started); err != nil {
			return err
		}
		c.count(time.Since(started))
	}
	return nil
}

func (c *caller) count(latency time.Duration) {
	c.run.mutex.Lock()
	defer c.run.mutex.Unlock()
	c.run.results.Total++
	if c.run.phase.Load() == measuring {
		c.run.results.Requests++
		c.run.results.Latencies = append(c.run.results.Latencies, microseconds(latency))
	}
}

func (c *caller) reply(started time.Time) error {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("status %d: %.500s", response.StatusCode, body)
	}
	if c.run.job.Events > 0 {
		return c.events(started, response.Body)
	}
	return c.plain(response.Body)
}

// plain checks that the whole of the model's text has come, however a path writes the JSON around it.
func (c *caller) plain(body io.Reader) error {
	c.body.Reset()
	if _, err := c.body.ReadFrom(body); err != nil {
		return err
	}
	text, found := between(c.body.Bytes(), `"content":`)
	if !found {
		return fmt.Errorf("a reply without content: %.500s", c.body.Bytes())
	}
	if !bytes.Equal(text, c.run.content) {
		return fmt.Errorf("a reply with %d bytes of content instead of %d", len(text), len(c.run.content))
	}
	return nil
}

// between is the string without escapes that follows a key.
func between(data []byte, key string) ([]byte, bool) {
	_, rest, found := bytes.Cut(data, []byte(key))
	if !found {
		return nil, false
	}
	rest = bytes.TrimLeft(rest, " ")
	if len(rest) == 0 || rest[0] != '"' {
		return nil, false
	}
	text, _, found := bytes.Cut(rest[1:], []byte(`"`))
	return text, found
}

// events checks that every token has come, once and in order, and then the end.
func (c *caller) events(started time.Time, body io.Reader) error {
	lines := bufio.NewReaderSize(body, 16<<10)
	next, last := 0, started
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("a stream ended after %d of %d events: %w", next, c.run.job.Events, err)
		}
		if bytes.HasPrefix(line, []byte("data: [DONE]")) {
			break
		}
		text, found := between(line, `"content":`)
		if !found || len(text) == 0 { // a blank line, a comment, the role, the reason for the end
			continue
		}
		index, written, err := readToken(string(text))
		if err != nil || index != next {
			return fmt.Errorf("event %d says %q", next, text)
		}
		c.seen(next, c.from.at, started, last, written)
		next, last = next+1, c.from.at
	}
	if next != c.run.job.Events {
		return fmt.Errorf("a stream of %d events instead of %d", next, c.run.job.Events)
	}
	_, err := io.Copy(io.Discard, lines)
	return err
}

func (c *caller) seen(index int, at, started, last, written time.Time) {
	if c.run.phase.Load() != measuring {
		return
	}
	c.run.mutex.Lock()
	defer c.run.mutex.Unlock()
	results := &c.run.results
	results.Events++
	if index == 0 {
		results.Firsts = append(results.Firsts, microseconds(at.Sub(started)))
	}
	if c.run.job.EventTimes {
		results.Delays = append(results.Delays, microseconds(at.Sub(written)))
		if index > 0 {
			results.Gaps = append(results.Gaps, microseconds(at.Sub(last)))
		}
	}
}

func readToken(text string) (int, time.Time, error) {
	index, written, _ := strings.Cut(strings.TrimPrefix(text, " "), ":")
	place, err := number(index)
	if err != nil {
		return 0, time.Time{}, err
	}
	nanoseconds, err := number(written)
	return int(place), time.Unix(0, nanoseconds), err
}

func microseconds(duration time.Duration) float64 {
	return float64(duration) / float64(time.Microsecond)
}
