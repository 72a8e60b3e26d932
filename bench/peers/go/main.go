// Go's own HTTP server, as it is; with -semaphore no more burns at a time than there are CPUs.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// CPU time of the thread that calls.
func threadTime() time.Duration {
	var now syscall.Timespec
	const threadCPUTime = 3
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&now)), 0)
	return time.Duration(now.Nano())
}

func burn(ms int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	end := threadTime() + time.Duration(ms)*time.Millisecond
	for threadTime() < end {
		for i := 0; i < 1000; i++ {
			spun++
		}
	}
}

// Keeps the loop from being left out; that burns write it side by side does not matter.
var spun uint64

func main() {
	port := flag.Int("port", 0, "port on the loopback address")
	limited := flag.Bool("semaphore", false, "burn on as many CPUs as there are, and no more")
	version := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *version {
		fmt.Println(runtime.Version())
		return
	}
	semaphore := make(chan struct{}, runtime.NumCPU())
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "Hello, World!")
	})
	http.HandleFunc("/burn/", func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/burn/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if *limited {
			select {
			case semaphore <- struct{}{}:
				defer func() { <-semaphore }()
			case <-r.Context().Done():
				return
			}
		}
		burn(ms)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "burned %d ms", ms)
	})
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), nil))
}
