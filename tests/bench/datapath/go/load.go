package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// job is what runLoad does: a closed loop, each connection sends its next request when the last is answered.
type job struct {
	Address     string  `json:"address"`
	TLS         *client `json:"tls"`
	Request     string  `json:"request"`
	Bytes       int     `json:"bytes"`  // of the body of a plain reply
	Events      int     `json:"events"` // of a streamed reply; 0 for a plain one
	Connections int     `json:"connections"`
	Warmup      float64 `json:"warmup_seconds"`
	Seconds     float64 `json:"seconds"`
	Longest     float64 `json:"longest_seconds"` // to wait for at least one reply on each connection
	EventTimes  bool    `json:"event_times"`
}

type client struct {
	Authority   string `json:"authority"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Name        string `json:"name"`
}

// results of the measured window, times in microseconds.
type results struct {
	Seconds   float64   `json:"seconds"`
	Requests  int       `json:"requests"`
	Events    int       `json:"events"`
	Latencies []float64 `json:"latencies"`
	Firsts    []float64 `json:"firsts"` // from the request to its first event
	Gaps      []float64 `json:"gaps"`   // between two events, at the caller
	Delays    []float64 `json:"delays"` // of an event, from the model's write to the caller's read
	Total     int       `json:"total"`  // requests answered in all, the warm-up and the last ones included
}

const (
	warmingUp = iota
	measuring
	finishing
)

// run is a job under way.
type run struct {
	job     job
	content []byte // of a plain reply
	dial    func() (net.Conn, error)
	phase   atomic.Int32
	mutex   sync.Mutex
	results results
}

// runLoad prints `began` and `ended` at the window's two ends, and then the results. Every reply is checked; one that is
// not as it should be ends the run with an error.
func runLoad(input io.Reader, output io.Writer) error {
	runtime.GOMAXPROCS(1)
	r := &run{}
	if err := json.NewDecoder(input).Decode(&r.job); err != nil {
		return err
	}
	var err error
	if r.dial, err = dialer(r.job); err != nil {
		return err
	}
	r.content, _ = between(completion(r.job.Bytes), `"content":`)
	failed := make(chan error, r.job.Connections)
	for range r.job.Connections {
		go func() { failed <- r.call() }()
	}
	if err := waitFor(r.job.Warmup, failed); err != nil {
		return err
	}
	fmt.Fprintln(output, "began")
	started := time.Now()
	r.phase.Store(measuring)
	if err := waitFor(r.job.Seconds, failed); err != nil {
		return err
	}
	for !r.enough() && time.Since(started).Seconds() < r.job.Longest {
		if err := waitFor(0.01, failed); err != nil {
			return err
		}
	}
	r.phase.Store(finishing)
	r.results.Seconds = time.Since(started).Seconds()
	fmt.Fprintln(output, "ended")
	for range r.job.Connections { // what is under way is finished and checked, but no longer counted
		if err := <-failed; err != nil {
			return err
		}
	}
	return json.NewEncoder(output).Encode(r.results)
}

func waitFor(seconds float64, failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return nil
	}
}

func (r *run) enough() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.results.Requests >= r.job.Connections
}

func dialer(job job) (func() (net.Conn, error), error) {
	network, address := split(job.Address)
	plain := func() (net.Conn, error) { return net.Dial(network, address) }
	if job.TLS == nil {
		return plain, nil
	}
	config, err := job.TLS.config()
	if err != nil {
		return nil, err
	}
	return func() (net.Conn, error) { return tls.Dial(network, address, config) }, nil
}

func (c *client) config() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.Authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", c.Authority)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		ServerName:   c.Name,
		NextProtos:   []string{"http/1.1"},
	}, nil
}
